"""Alarms and dashboard: each figure that they name is told by a process, each alarm has its section."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import metrics_page
from tests.k8s.check.rendering import K8S
from tests.processes import ROOT

MONITORING = K8S / "components" / "monitoring"
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def alarms() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())["spec"]["groups"]
    return list(group["rules"])


def drawn() -> list[str]:
    dashboard = json.loads((MONITORING / "sidearm.json").read_text())
    told = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return told + [one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Names of every series that Prometheus is told: the sidecar's are for a look by hand."""
    families = [figure.family for figure in (*metrics_page.service(), *metrics_page.learner())]
    return {family.name + end for family in families for end in _SUFFIXES[family.type]}


def series(expression: str) -> set[str]:
    return set(re.findall(r"\bsidearm_[a-z0-9_]+", expression))


def test_every_figure_that_is_named_is_told(known: set[str]) -> None:
    """A metric that is renamed takes its alarm and its panel with it."""
    asked = {name for text in [*(a["expr"] for a in alarms()), *drawn()] for name in series(text)}
    for path in (K8S / "components" / "keda").glob("*.yaml"):
        asked |= series("".join(re.findall(r"query: (.*)", path.read_text())))
    assert asked
    assert asked <= known, asked - known


def test_every_alarm_has_its_section_and_every_section_its_alarm() -> None:
    """Who is woken reads what to do."""
    text = (ROOT / "docs" / "operations.md").read_text()
    runbook = text.partition("## When an alarm rings")[2].partition("\n## ")[0]
    headings = {_anchor(line) for line in re.findall(r"^### (.+)$", runbook, re.M)}
    linked = {alarm["annotations"]["runbook"].partition("docs/operations.md#")[2] for alarm in alarms()}
    assert linked == headings
    for alarm in alarms():
        assert f"`{alarm['alert']}`" in runbook, alarm["alert"]


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_labels_in_alarms_are_values_that_are_told() -> None:
    """An endpoint that has another name makes an alarm that never rings."""
    source = (ROOT / "decision_service" / "app.py").read_text()
    endpoints = set(re.findall(r"Endpoint\(\s*\"([a-z_]+)\"", source))
    told = {name for text in [*(a["expr"] for a in alarms()), *drawn()] for name in _endpoints(text)}
    assert told == {"recommend"}
    assert told <= endpoints


def _endpoints(expression: str) -> list[str]:
    return re.findall(r'endpoint="([a-z_]+)"', expression)


def test_an_alarm_says_how_bad_it_is_and_waits_before_it_rings() -> None:
    """Two severities; nothing rings at the first look."""
    for alarm in alarms():
        assert alarm["labels"]["severity"] in ("critical", "warning"), alarm["alert"]
        assert alarm["for"], alarm["alert"]
        assert alarm["annotations"]["summary"], alarm["alert"]


def test_a_dashboard_is_json_with_panels_that_do_not_overlap() -> None:
    """Each place is taken once."""
    panels = json.loads(Path(MONITORING / "sidearm.json").read_text())["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places) >= 12
