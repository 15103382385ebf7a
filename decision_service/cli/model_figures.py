"""What the learner tells of its model, as tables for ``sidearm status``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sidecar.contracts.contests import ModelFigures
from sidecar.contracts.learner_report import (
    Comparison,
    Judgement,
    Progressive,
    WindowFigures,
    decode,
    figure_text,
)

if TYPE_CHECKING:
    from rich.table import Table


def tables(learner: Mapping[str, str]) -> list[Table]:
    """Progressive metrics by window, the gate's latest comparisons, and what it refused; those that exist."""
    progressive = decode(learner.get("progressive", ""), Progressive)
    latest = decode(learner.get("gate", ""), Judgement)
    refusals = decode(learner.get("refusals", ""), tuple[Judgement, ...]) or ()
    found = [_windows(progressive)] if progressive else []
    if latest and latest.verdict.comparisons:
        found.append(_comparisons(latest))
    if refusals:
        found.append(_refusals(refusals))
    return found


def models_table(models: Sequence[ModelFigures]) -> Table:
    """Every model that scores beside others, over its latest decisions and over ten minutes."""
    from rich.table import Table

    columns = (
        "model, before learning",
        "window",
        "decisions",
        "AUC",
        "log loss",
        "earns, IPS",
        "earns, SNIPS",
    )
    table = Table(*columns, box=None, pad_edge=False)
    for one in models:
        for window, figures in (("latest", one.progressive), ("10 minutes", one.by_time)):
            auc = figure_text(figures.auc, figures.auc_within)
            ips = figure_text(figures.ips, _z(figures.ips_error))
            row = window, f"{figures.examples:,}", auc, figure_text(figures.log_loss), ips, _snips(figures)
            table.add_row(one.name if window == "latest" else "", *row)
    return table


def _windows(progressive: Progressive) -> Table:
    from rich.table import Table

    table = Table("before learning", "latest examples", "latest 10 minutes", box=None, pad_edge=False)
    windows = (progressive.by_count, progressive.by_time)
    table.add_row("examples", *[f"{one.examples:,}" for one in windows])
    table.add_row("AUC", *[figure_text(one.auc, one.auc_within) for one in windows])
    table.add_row("squared error", *[figure_text(one.squared_error) for one in windows])
    table.add_row("log loss", *[figure_text(one.log_loss) for one in windows])
    table.add_row("reward as shown", *[figure_text(one.reward, _z(one.reward_error)) for one in windows])
    table.add_row("reward of the policy, IPS", *[figure_text(one.ips, _z(one.ips_error)) for one in windows])
    table.add_row("reward of the policy, SNIPS", *[_snips(one) for one in windows])
    return table


def _comparisons(latest: Judgement) -> Table:
    from rich.table import Table

    verdict = "passed" if latest.verdict.passed else "REFUSED"
    table = Table(f"gate: {verdict}", "reward, difference", "AUC, difference", box=None, pad_edge=False)
    for one in latest.verdict.comparisons:
        table.add_row(f"version {one.version} ({one.against})", *_differences(one))
    return table


def _differences(one: Comparison) -> list[str]:
    return [figure_text(found.value, found.error) if found else "–" for found in (one.reward, one.auc)]


def _refusals(refusals: tuple[Judgement, ...]) -> Table:
    from rich.table import Table

    table = Table("refused version", "at example", "because", box=None, pad_edge=False)
    for one in refusals:
        table.add_row(str(one.version), f"{one.examples:,}", one.verdict.reason)
    return table


def _snips(one: WindowFigures) -> str:
    return figure_text(one.snips, _z(one.snips_error))


def _z(error: float | None) -> float | None:
    """Half of a 95 % interval."""
    return None if error is None else 1.959964 * error
