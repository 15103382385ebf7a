"""Write ``docs/settings.md`` from the settings' own types, defaults and documentation.

``python docs/settings_page.py`` writes it, ``make fmt`` calls that, and ``tests/test_docs.py`` holds the page
against the code.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.inspect import type_info

from decision_service.settings import ServiceSettings
from offline_eval.settings import EvaluationSettings
from policy_learner.settings import LearnerSettings
from sidecar.contracts.application import Application, ExplorationConfig, SessionConfig
from sidecar.contracts.flags_section import FlagConfig
from sidecar.contracts.model_section import BaseConfig, ModelConfig
from sidecar.contracts.process_log import LogSettings
from sidecar.contracts.promotion import PromotionConfig
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.rules_section import RulesConfig
from sidecar.contracts.track_section import TrackConfig
from sidecar.server.settings import SidecarSettings

PAGE = Path(__file__).with_name("settings.md")


class Section(NamedTuple):
    """One section of ``app.toml``."""

    name: str
    about: str
    settings: type[Struct]
    environment: str
    """Prefix of the variables that override it; empty where there are none."""


SECTIONS = (
    Section(
        "", "The application itself: the first lines of `app.toml`, above every section.", Application, ""
    ),
    Section(
        "reward", "How events become one number, and how long a decision waits for them.", RewardConfig, ""
    ),
    Section("sessions", "What a session keeps.", SessionConfig, ""),
    Section("exploration", "How scores become probabilities.", ExplorationConfig, ""),
    Section(
        "rules",
        "What the application decides by itself: plain functions of Python, beside `app.toml`.",
        RulesConfig,
        "",
    ),
    Section("model", "The linear model, in Vowpal Wabbit's terms.", ModelConfig, ""),
    Section(
        "model.base",
        "A second model that changes rarely; what it expects of an arm is a feature of the arm. The heading"
        " alone switches it on; `sidearm models base` says which model it is; until then nothing is added.",
        BaseConfig,
        "",
    ),
    Section(
        "promotion",
        "When a challenger takes the champion's place. Evidence is counted wherever several models score.",
        PromotionConfig,
        "",
    ),
    Section(
        "flags.NAME",
        "What clients of OpenFeature may ask for ([flags](flags.md)). There is always one flag of the"
        " application's name, for the whole catalogue.",
        FlagConfig,
        "",
    ),
    Section(
        "track.NAME",
        "Which events of trackers, and which types of CloudEvents, are rewards ([events](events.md)).",
        TrackConfig,
        "",
    ),
    Section(
        "decision_service",
        "The front door: `python -m decision_service`.",
        ServiceSettings,
        "SIDEARM_DECISION_SERVICE_",
    ),
    Section(
        "sidecar", "The model container: `python -m sidecar.server`.", SidecarSettings, "SIDEARM_SIDECAR_"
    ),
    Section("learner", "The learner: `python -m policy_learner`.", LearnerSettings, "SIDEARM_LEARNER_"),
    Section(
        "evaluation",
        "What other policies would have earned, asked every night: `sidearm evaluate --app FOLDER`.",
        EvaluationSettings,
        "SIDEARM_EVALUATION_",
    ),
)

_HEAD = """\
# Settings

One file configures an application: `app.toml` in its folder. Every field has a default but `name`.
What describes the application is the same for every process and comes from the file alone, since logs and weights depend on it.
What describes a process may also come from the environment, which wins.
An unknown field or a value outside its range stops the process at its start, with one line that names the field and the legal values, and exit code 2.

This page is written by `make fmt` from the code; a test holds it against the code.

## Environment of every process

| variable | default | meaning |
|---|---|---|
| `SIDEARM_APP` | – | The application's folder; `--app` wins. |
| `SIDEARM_DATA` | `data` | Where everything is kept; `--data` wins. |
| `REDIS_URL` | the embedded store's socket in the data folder | The store: `redis://`, `rediss://` or `unix://`; `redis+cluster://host:port,host:port?replicas=1` for a cluster ([serving.md](serving.md#a-cluster)). |
| `REDIS_URL_FILE` | none | A file that holds the same, for an address with a password; `REDIS_URL` wins. |
| `FEATURE_STORE_URL` | the store that was named, else the embedded feature store's socket in the data folder | Where the tables of `sidearm features load` are, in the same forms ([operations.md](operations.md#a-feature-store-of-its-own)). |
| `FEATURE_STORE_URL_FILE` | none | A file that holds the same; `FEATURE_STORE_URL` wins. |
{log}| `SIDEARM_DEVELOPMENT_KEY` | made at the first start | The API key that `sidearm up` prints, for scripts that must know it beforehand. |
"""  # noqa: E501 - one sentence a line


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD.replace("{log}", _log_rows()), *map(section_text, SECTIONS)])


def _log_rows() -> str:
    """What is told by the environment alone."""
    described, documented = type_info(LogSettings), documentation(LogSettings)
    assert isinstance(described, msgspec.inspect.StructType)
    return "".join(
        f"| `SIDEARM_LOG_{f.name.upper()}` | {default(f)} | {legal(f.type)}. {documented[f.name]} |\n"
        for f in described.fields
    )


def section_text(section: Section) -> str:
    """Heading and table of one section."""
    heading = f"## `[{section.name}]`" if section.name else "## `app.toml`"
    overrides = f" `{section.environment}<FIELD>` overrides a field." if section.environment else ""
    documented = documentation(section.settings)
    rows = [
        f"| `{f.encode_name}` | {legal(f.type)} | {default(f)} | {documented.get(f.name, '')} |"
        for f in fields(section)
    ]
    table = ["| field | legal | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join([heading, "", section.about + overrides, "", *table, ""])


def fields(section: Section) -> list[msgspec.inspect.Field]:
    """The fields that are values; those that are sections have their own table."""
    described = type_info(section.settings)
    assert isinstance(described, msgspec.inspect.StructType)
    sections = {other.name.removesuffix(".NAME") for other in SECTIONS}
    return [f for f in described.fields if f"{section.name}.{f.name}".lstrip(".") not in sections]


def documentation(settings: type[Struct]) -> dict[str, str]:
    """Field name to the text below it in the source, in one line."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            assert isinstance(field.target, ast.Name)
            assert isinstance(below.value, ast.Constant)
            texts[field.target.id] = (
                " ".join(str(below.value.value).split()).replace("``", "`").replace("|", "\\|")
            )
    return texts


def legal(kind: msgspec.inspect.Type) -> str:
    """What a value may be, in words."""
    match kind:
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            noun = "whole number" if isinstance(kind, msgspec.inspect.IntType) else "number"
            bounds = {">": kind.gt, "≥": kind.ge, "<": kind.lt, "≤": kind.le}
            return ", ".join([noun, *(f"{sign} {_number(b)}" for sign, b in bounds.items() if b is not None)])
        case msgspec.inspect.BoolType():
            return "`true`, `false`"
        case msgspec.inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case msgspec.inspect.StrType():
            return f"text like `{kind.pattern}`" if kind.pattern else "text"
        case msgspec.inspect.UnionType():
            return ", ".join(legal(t) for t in kind.types if not isinstance(t, msgspec.inspect.NoneType))
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType():
            return f"list of {legal(kind.item_type)}"
        case msgspec.inspect.DictType():
            return f"table of {legal(kind.value_type)}"
    raise NotImplementedError(f"{kind}: say here how to write it")


def _number(bound: float) -> str:
    return f"{bound:g}" if bound < 100_000 else f"{bound:,.0f}"


def default(field: msgspec.inspect.Field) -> str:
    """The value where the file says nothing."""
    if field.required:
        return "**needed**"
    value = field.default if field.default is not NODEFAULT else field.default_factory()
    if value is None or value == "":
        return "none"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{msgspec.json.encode(value).decode()}`"


if __name__ == "__main__":
    PAGE.write_text(page())
