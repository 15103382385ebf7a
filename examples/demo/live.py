"""What phase 2 changes while sessions come, and asks when they are over: all of it through the HTTP API."""

from __future__ import annotations

from typing import Any

import httpx
from rich.box import SIMPLE_HEAD
from rich.table import Table

from decision_service.cli.platform import Platform
from offline_eval.group_tables import group_name
from offline_eval.results import Evaluation

SEGMENT, CHALLENGER = "curious", "careful"
TOLD = (
    f"half of the shoppers explore by SquareCB from now on (segment {SEGMENT!r}); "
    f"a challenger that explores less, {CHALLENGER!r}, answers a fifth"
)
_EXPLORING = {
    "segments": [
        {
            "name": SEGMENT,
            "units_to": 0.5,
            "salt": "demo",
            "exploration": {"scheme": "squarecb", "gamma": 400.0},
        }
    ]
}
_DEPLOYED = {"role": "challenger", "share": 0.2, "exploration": {"epsilon": 0.05}}
_PARTS = 4
_TIMEOUT_S = 10.0

Json = dict[str, Any]


def change(platform: Platform) -> None:
    """Give half of the shoppers another exploration, and the champion a challenger; nothing is restarted."""
    with _api(platform) as api:
        api.put("/v1/exploration", json=_EXPLORING).raise_for_status()
        api.put(f"/v1/models/{CHALLENGER}", json=_DEPLOYED).raise_for_status()


def ask(platform: Platform, path: str) -> Json:
    """What the API answers to GET ``path``."""
    with _api(platform) as api:
        found: Json = api.get(path).raise_for_status().json()
        return found


def _api(platform: Platform) -> httpx.Client:
    headers = {"authorization": f"Bearer {platform.key}"}
    return httpx.Client(base_url=platform.url, headers=headers, timeout=_TIMEOUT_S)


def models_table(models: Json) -> Table:
    """Who answers how much, how well it foresees, and what it earns; and how the challenger stands."""
    table = _table("models", "role", "answers", "AUC", "reward, SNIPS", "less the champion")
    contests = {one["challenger"]: one for one in models["contests"]}
    for one in models["models"]:
        answers, auc = one["answers"] or 0.0, one["auc"]
        reward = "–" if one["reward"] is None else f"{one['reward']:.3f} ± {1.96 * one['reward_error']:.3f}"
        told = _contest(contests[one["name"]]) if one["name"] in contests else ""
        table.add_row(
            one["name"], one["role"], f"{answers:.0%}", "–" if auc is None else f"{auc:.3f}", reward, told
        )
    return table


def _contest(contest: Json) -> str:
    low, high = contest["lower"], contest["upper"]
    return f"{contest['difference']:+.3f} ({low:+.3f} to {high:+.3f}, at any time): {contest['verdict']}"


def segments_table(evaluation: Evaluation) -> Table:
    """What was earned in each segment, and what the first candidate would have earned there."""
    candidate = evaluation.candidates[0].candidate
    table = _table("segment", "rows", "reward as shown", f"{candidate}, DR")
    for group in evaluation.groups:
        result = group.candidates[0]
        said = {one.estimator: one.value for one in result.estimates}.get("dr")
        shown = result.on_policy.value
        cells = [
            "–" if one is None else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
            for one in (shown, said)
        ]
        table.add_row(group_name(group.group), f"{result.rows:,}", *cells)
    return table


def why_table(why: Json) -> Table:
    """The largest parts of the scores of the chosen arm and of the runner-up, side by side."""
    arms = why["arms"][:2]
    table = _table(*(f"{arm['arm']}: {arm['score']:.3f} ({arm['role'].replace('_', '-')})" for arm in arms))
    parts = [[_part(one) for one in arm["parts"][:_PARTS]] for arm in arms]
    for row in range(_PARTS):
        table.add_row(*(column[row] if row < len(column) else "" for column in parts))
    table.add_row(*(_rest(arm) for arm in arms))
    return table


def _part(part: Json) -> str:
    return f"{part['contribution']:+.3f}  {' × '.join(part['features']) or 'constant'}"


def _rest(arm: Json) -> str:
    others = arm["parts"][_PARTS:]
    rest = sum(one["contribution"] for one in others) + arm["others"]
    return f"{rest:+.3f}  {len(others) + arm['n_others']} others"


def _table(*headers: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header, no_wrap=True)
    return table
