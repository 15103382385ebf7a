"""Each alarm rings on series made up to ring it, and not on those beside them: by Prometheus' promtool."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.k8s.test_monitoring import MONITORING, alarms, known, series

__all__ = ["known"]  # a fixture
_MINUTES = 60
"""Of made-up time: more than the longest wait of an alarm."""
Series = dict[str, str]
"""Name and labels to values as promtool writes them: `a+bxn` is a, then n times b more, a minute each."""


class Made(NamedTuple):
    """Series with which an alarm rings at the end, and with which it does not."""

    rings: Series
    quiet: Series


def flat(value: float) -> str:
    return f"{value:g}+0x{_MINUTES}"


def grows(a_minute: float, start: float = 0.0) -> str:
    return f"{start:g}+{a_minute:g}x{_MINUTES}"


def later(value: float, minutes: int) -> str:
    """0 until so many minutes before the end."""
    return f"0+0x{_MINUTES - minutes} {value:g}+0x{minutes}"


def mass(decisions: float, weight: float, squares: float) -> Series:
    """What a minute adds."""
    told = {"decisions": decisions, "weight": weight, "weight_squares": squares}
    return {f"sidearm_propensity_{name}_total": grows(value) for name, value in told.items()}


def answers(status: str, share: float) -> Series:
    return {
        'sidearm_answers_total{endpoint="recommend",status="201"}': grows(600 * (1 - share)),
        f'sidearm_answers_total{{endpoint="recommend",status="{status}"}}': grows(600 * share),
    }


def seconds(slow_share: float) -> Series:
    name = 'sidearm_request_seconds_bucket{endpoint="recommend",le="%s"}'
    within = {"0.05": 1 - slow_share, "0.1": 1 - slow_share, "0.25": 1.0, "+Inf": 1.0}
    return {name % edge: grows(600 * share) for edge, share in within.items()}


def backstop(share: float) -> Series:
    return {
        'sidearm_decisions_total{source="model"}': grows(600 * (1 - share)),
        'sidearm_decisions_total{source="fallback"}': grows(600 * share),
    }


def memory(used: float, limit: float) -> Series:
    return {
        "sidearm_store_memory_bytes": flat(used),
        "sidearm_store_memory_limit_bytes": flat(limit),
    }


def one(name: str, rings: str, quiet: str) -> Made:
    return Made({name: rings}, {name: quiet})


BOOKS = 'sidearm_books_imbalance{kind="decisions",partition="0"}'
STUCK = {"sidearm_learner_age_ms": flat(1e6), "sidearm_learner_lag_ms": flat(1e5)}
REFUSED = {"sidearm_learner_gate_refusals_total": grows(1), "sidearm_learner_gate_passed": flat(0)}

MADE = {
    "SidearmBooksNotZero": one(BOOKS, flat(-1), flat(0)),
    "SidearmStoreAway": one("sidearm_store_up", flat(0), flat(1)),
    "SidearmLearnerGone": Made({}, {"sidearm_learner_version": flat(7)}),
    "SidearmLearnerStands": one("sidearm_learner_silent_seconds", grows(60), flat(30)),
    "SidearmErrors": Made(answers("503", 0.002), answers("503", 0.0005)),
    "SidearmTurnedAway": Made(answers("429", 0.02), answers("429", 0.005)),
    "SidearmSlow": Made(seconds(0.02), seconds(0.005)),
    "SidearmBackstopAnswers": Made(backstop(0.02), backstop(0.005)),
    "SidearmSpoolWaits": one("sidearm_spool_records", flat(1), flat(0)),
    "SidearmSpoolGrows": one('sidearm_spool_bytes{pod="a"}', flat(4e7), flat(3e7)),
    "SidearmLogThinned": one('sidearm_log_share{partition="0"}', flat(0.9), flat(1)),
    "SidearmStoreFull": one('sidearm_decisions_shed_total{reason="FULL"}', grows(1), flat(5)),
    "SidearmStoreNearFull": Made(memory(7e8, 1e9), memory(5e8, 1e9)),
    "SidearmPropensityMass": Made(mass(600, 660, 1500), mass(600, 601, 1500)),
    "SidearmJoinLags": one("sidearm_learner_lag_ms", flat(61_000), flat(59_000)),
    "SidearmWeightsOld": Made(STUCK, {**STUCK, "sidearm_learner_lag_ms": flat(10)}),
    "SidearmPodBehind": Made(
        {'sidearm_weights_age_seconds{pod="a"}': flat(1), 'sidearm_weights_age_seconds{pod="b"}': flat(400)},
        {
            'sidearm_weights_age_seconds{pod="a"}': flat(900),
            'sidearm_weights_age_seconds{pod="b"}': flat(901),
        },
    ),
    "SidearmGateRefuses": Made(REFUSED, {**REFUSED, "sidearm_learner_gate_passed": flat(1)}),
    "SidearmCanaryDrifts": one('sidearm_canary_drift{model="canary"}', flat(0.3), flat(0.2)),
    "SidearmDeadLetters": one("sidearm_learner_dead_letters", later(1, 30), flat(4)),
    "SidearmRebuildDiffers": one("sidearm_learner_rebuild_mismatch", flat(1), flat(0)),
}
QUIET_TOO: dict[str, list[Series]] = {
    # A store without a limit is never near it.
    "SidearmStoreNearFull": [memory(7e9, 0)],
    # Too few to say, a deviation by chance, and one arm only, which is no choice.
    "SidearmPropensityMass": [mass(10, 5, 10), mass(600, 640, 40_000), mass(600, 600, 600)],
}
RINGS_TOO: dict[str, list[Series]] = {
    # Of twenty arms the best is always shown.
    "SidearmPropensityMass": [mass(600, 30, 1.5)],
}


def test_there_are_made_up_series_for_every_alarm(known: set[str]) -> None:
    """Which hold all that its expression asks for, under names that processes tell."""
    expressions = {alarm["alert"]: alarm["expr"] for alarm in alarms()}
    assert MADE.keys() == expressions.keys()
    for name, made in MADE.items():
        told = {one for part in (*made.rings, *made.quiet) for one in series(part)}
        assert told <= known, name
        assert series(expressions[name]) == told, name


@pytest.mark.slow
def test_every_alarm_rings_on_made_up_series_and_not_beside_them(tmp_path: Path) -> None:
    """By promtool, from the expression to the wait before it rings."""
    if shutil.which("promtool") is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is needed where CI is set: it evaluates the alarms")
        pytest.skip("no promtool on this machine (Debian: apt install prometheus): it evaluates the alarms")
    spec = yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    cases = [*(_case(name, made.rings, True) for name, made in MADE.items())]
    cases += [_case(name, made.quiet, False) for name, made in MADE.items()]
    cases += [_case(name, told, False) for name, all_told in QUIET_TOO.items() for told in all_told]
    cases += [_case(name, told, True) for name, all_told in RINGS_TOO.items() for told in all_told]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": cases}))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _case(alarm: str, told: Series, rings: bool) -> dict[str, Any]:
    given = [{"series": _in_namespace(name), "values": values} for name, values in told.items()]
    asked = f'count by (alertname) (ALERTS{{alertname="{alarm}",alertstate="firing"}})'
    found = [{"labels": f'{{alertname="{alarm}"}}', "value": 1}] if rings else []
    test = {"expr": asked, "eval_time": f"{_MINUTES}m", "exp_samples": found}
    return {"name": f"{alarm} {rings}", "interval": "1m", "input_series": given, "promql_expr_test": [test]}


def _in_namespace(name: str) -> str:
    """As it is scraped: every series has its namespace."""
    metric, brace, labels = name.partition("{")
    return f'{metric}{{namespace="shop",{labels}' if brace else f'{metric}{{namespace="shop"}}'
