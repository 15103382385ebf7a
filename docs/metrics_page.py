"""Write ``docs/metrics.md`` from the processes' own figures, and the alarms that look at them.

``python -m docs.metrics_page`` writes it, ``make fmt`` calls that, and ``tests/test_docs.py`` holds the page
against the code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import msgspec
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from decision_service.telemetry import Telemetry
from policy_learner.metrics import LearnerMetrics
from policy_learner.status import Status
from sidecar.contracts.contests import Contest, ModelFigures, Shown
from sidecar.contracts.learner_report import (
    Comparison,
    Difference,
    Judgement,
    Progressive,
    Verdict,
    WindowFigures,
    encode,
)
from sidecar.server.metrics import Metrics, render
from sidecar.server.weight_store import WeightStore

PAGE = Path(__file__).with_name("metrics.md")
_ALARMS = Path(__file__).parents[1] / "k8s" / "components" / "monitoring" / "prometheusrule.yaml"
_FULL = WindowFigures(
    **cast(Any, {name: 1.0 for name in WindowFigures.__struct_fields__ if name != "examples"})
)

_HEAD = """\
# Metrics

Every figure that a process tells Prometheus. Units stand in names; what has none is a number, or 0 and 1.
Counters are asked for with `_total`, histograms with `_bucket`, `_sum` and `_count`.

This page is written by `make fmt` from the code; a test holds it against the code. Alarms are in `k8s/components/monitoring/prometheusrule.yaml`, each with a section in [operations.md](operations.md).
"""  # noqa: E501 - one sentence a line


class Figure(NamedTuple):
    """One row."""

    family: Metric
    labels: tuple[str, ...]

    @property
    def series(self) -> str:
        """Under which it is asked for; a histogram's without its ends."""
        return self.family.name + "_total" * (self.family.type == "counter")


def page() -> str:
    """The whole page."""
    parts = (
        ("The decision service", "At `/metrics` of its port, without a key.", service()),
        ("The learner", "At `/metrics` of `[learner] metrics_port`.", learner()),
        (
            "The sidecar",
            "At `/metrics` of its socket: for a look by hand, `curl --unix-socket … http://sidecar/metrics`.",
            sidecar(),
        ),
    )
    return "\n".join([_HEAD, *(_part(*part) for part in parts)])


def service() -> list[Figure]:
    """Of the decision service."""
    registry = CollectorRegistry()
    Telemetry(registry)
    made = list(registry._collector_to_names)
    return [Figure(f, _labels(c) or _labels(f)) for c in made for f in cast(Any, c).describe()]


def learner() -> list[Figure]:
    """Of the learner, with everything in its status that makes a figure."""
    difference = Difference(0.0, 0.0, 0.0, 0)
    verdict = Verdict(True, "", 0, 1.0, 0.0, 16, (Comparison("last", 1, difference, difference),))
    told: dict[str, Any] = dict.fromkeys(Status.__struct_fields__, 0)
    told |= {"state": "running", "positions": "[]", "last_error": "", "base": "", "refusals": ""}
    told |= {"progressive": encode(Progressive(by_count=_FULL, by_time=_FULL))}
    told |= {"gate": encode(Judgement(1, 0, 0, verdict))}
    contest: dict[str, Any] = dict.fromkeys(Contest.__struct_fields__, 0)
    contest |= {"champion": "champion", "challenger": "challenger", "verdict": "even"}
    metrics = LearnerMetrics(lambda: 0.0)
    shown = Shown((ModelFigures("challenger", 1, _FULL, _FULL),), (Contest(**contest),))
    metrics.show(msgspec.convert(told, Status, strict=False), shown)
    return [Figure(family, _labels(family)) for family in metrics.collect()]


def sidecar() -> list[Figure]:
    """Of the sidecar, with weights that it serves."""
    header = SimpleNamespace(version=1, trained_until_ms=0)
    newest, deployed = SimpleNamespace(deltas=0, wholes=0), SimpleNamespace(count=0)
    zeros = dict.fromkeys(("pinned", "swaps", "refused", "store_errors"), 0)
    served = SimpleNamespace(current=SimpleNamespace(header=header), base=None, newest=newest, **zeros)
    served.deployed = deployed
    text = render(Metrics(), cast(WeightStore, served), 0.0)
    return [Figure(family, ()) for family in text_string_to_metric_families(text)]


def _labels(family: object) -> tuple[str, ...]:
    """The library keeps them under a name that is its own."""
    return tuple(getattr(family, "_labelnames", ()))


def _part(name: str, about: str, figures: list[Figure]) -> str:
    head = [
        f"## {name}",
        "",
        about,
        "",
        "| metric | kind | labels | meaning | alarms |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *_rows(figures), ""])


def _rows(figures: list[Figure]) -> Iterator[str]:
    alarms = _alarms()
    for figure in figures:
        labels = ", ".join(f"`{label}`" for label in figure.labels)
        rings = ", ".join(f"`{name}`" for name, asked in alarms.items() if figure.series in asked)
        meaning = figure.family.documentation.replace("|", "\\|")
        yield f"| `{figure.series}` | {figure.family.type} | {labels} | {meaning} | {rings} |"


def _alarms() -> dict[str, set[str]]:
    """Name of the alarm to what it looks at."""
    (group,) = yaml.safe_load(_ALARMS.read_text())["spec"]["groups"]
    return {rule["alert"]: _asked(rule["expr"]) for rule in group["rules"]}


def _asked(expression: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bsidearm_\w+", expression)}


if __name__ == "__main__":
    PAGE.write_text(page())
