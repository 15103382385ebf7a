"""Settings of the nightly evaluation: ``[evaluation]`` in ``app.toml``, or ``SIDEARM_EVALUATION_<FIELD>``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from sidecar.contracts.daily import TimeOfDay
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.settings import load_settings

_KINDS = (
    "uniform", "logged", "greedy", "epsilon", "softmax", "squarecb", "table", "shadow", "as-of", "function",
)  # fmt: skip


class EvaluationSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of the log every night; `sidearm evaluate --app FOLDER` asks the same at any time."""

    at: TimeOfDay = ""
    """Time of the day, UTC, such as `04:00`, at which `sidearm up` has the last days evaluated, in a process
    of its own and behind everything else; empty: never. On Kubernetes a CronJob calls the command instead."""
    days: Annotated[int, Meta(ge=1, le=3650)] = 7
    """On the decisions of so many whole days, the last of them yesterday. More: narrower intervals, older
    news."""
    candidates: Annotated[tuple[str, ...], Meta(min_length=1)] = ("uniform",)
    """What else might have decided, as `--candidate` says it: `uniform` shows what the model is worth,
    `greedy` what exploring costs, `shadow:<model>` what a shadow would earn. Files of `table:` and
    `function:` are looked for beside `app.toml`."""
    against: str = "logged"
    """What candidates are held against: `logged`, or one of them."""
    weights: str = ""
    """Of candidates that score: a weights file, or a store's URL; empty: the store of the application."""
    reward_model: str = ""
    """`vw`: learnt from this log, cross-fitted by unit; a trained one by its weights file, or a store's URL;
    empty: mean rewards by arm and `keys`."""
    keys: tuple[str, ...] = ()
    """What the reward model tells apart beside the arm: `slot`, `context.<feature>`, …"""
    by: tuple[str, ...] = ()
    """What is estimated apart too: `segment`, `context.<feature>`, …"""
    keep: Annotated[int, Meta(ge=1, le=36_500)] = 90
    """So many days' evaluations are kept, the newest; older ones are deleted."""


def evaluation_settings(values: dict[str, Any], environ: Mapping[str, str]) -> EvaluationSettings:
    """The checked settings.

    Raises:
        BadSettings: an unknown field, a value outside its range, or a candidate of no known kind.
    """
    settings = load_settings(EvaluationSettings, "evaluation", values, environ)
    for one in settings.candidates:
        if one.partition("@")[0].partition(":")[0] not in _KINDS:
            raise BadSettings(f"[evaluation] candidates: {one!r} is not known; legal: {', '.join(_KINDS)}")
    return settings
