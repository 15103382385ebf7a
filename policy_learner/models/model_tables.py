"""Tables of ``sidearm models``: what is kept and served, one version, its weights, backups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import UnsetType
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from policy_learner.models.backup import Manifest
from policy_learner.models.model_features import NamedWeight
from policy_learner.models.model_shelf import Shelf
from sidecar.contracts.calibration import Calibration
from sidecar.contracts.models import Kept, ModelInfo, name_of
from sidecar.contracts.roster import LIVE, Model, Roster, answered_share
from sidecar.policy.calibration import expected_of, ranks_of, scores_at

_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Of the arms shown: at whose scores the calibration is told."""


def print_shelf(name: str, shelf: Shelf) -> None:
    """All versions of an application that can be served, newest first, and what is served."""
    console = Console()
    columns = ("version", "kept", "examples", "size", "weights", "norm", "sha256", "gate", "served by", "")
    table = Table(*columns, box=None, pad_edge=False)
    for one in reversed(shelf.kept):
        table.add_row(*_row(shelf, one), style="bold" if _is_pinned(shelf, one.info.version) else None)
    console.print(table)
    if shelf.pin:
        console.print(
            f"{name}: version {name_of(shelf.pin.version)} is pinned ({shelf.pin.reason}); "
            "`sidearm models resume` serves the newest again",
            style="yellow",
            highlight=False,
            markup=False,
        )
    if shelf.newest is None:
        console.print(f"{name}: nothing was published yet", highlight=False)
    else:
        age_s = max(0, shelf.now_ms - shelf.newest.at_ms) / 1000
        by = " ".join(one.sidecar for one in shelf.serving if one.version == shelf.newest.version) or "nobody"
        console.print(
            f"{name}: newest is {name_of(shelf.newest.version)}, {age_s:.1f} s old, sha256 "
            f"{shelf.newest.checksum[:12]}, served by {by}",
            highlight=False,
            markup=False,
        )
    for said in shelf.serving:
        if said.word:
            console.print(f"{said.sidecar}: {said.word}", style="red", highlight=False, markup=False)


def print_roster(roster: Roster) -> None:
    """The models that score, as the rendezvous has them."""
    columns = ("model", "role", "version", "share", "priority", "wait", "explores", "container")
    table = Table(*columns, box=None, pad_edge=False, title=f"models, revision {roster.revision}")
    for one in roster.models:
        table.add_row(*_roster_row(roster, one), style="bold" if one.role == "champion" else None)
    Console().print(table)


def _roster_row(roster: Roster, one: Model) -> tuple[str, ...]:
    share = one.share if one.role == "decoy" else answered_share(roster, one)
    return (
        one.name,
        one.role,
        "live" if one.version == LIVE else name_of(one.version),
        "" if share is None else f"{share:.1%}",
        str(one.priority) if one.can_answer else "",
        "" if one.wait_ms is None else f"{one.wait_ms} ms",
        "" if one.exploration is None else one.exploration.scheme,
        one.container,
    )


def _row(shelf: Shelf, one: Kept) -> tuple[str, ...]:
    info = one.info
    when = datetime.fromtimestamp(one.at_ms / 1000, UTC).isoformat(sep=" ", timespec="seconds")[:19]
    return (
        name_of(info.version),
        when,
        f"{info.examples:,}",
        f"{info.record_bytes:,}",
        f"{info.used:,}",
        f"{info.norm:.4g}",
        info.checksum[:12],
        _gate(one),
        _served_by(shelf, info.version),
        " ".join(
            filter(
                None,
                ["pinned" if _is_pinned(shelf, info.version) else "", _origin(one), escape(info.note[:40])],
            )
        ),
    )


def _origin(one: Kept) -> str:
    return "" if one.info.origin == "published" else one.info.origin


def _gate(one: Kept) -> str:
    """The gate's numbers: candidate minus reference, and the reference."""
    judgement = one.info.judgement
    if judgement is None:
        return "–"
    said = []
    for comparison in judgement.verdict.comparisons:
        for name, found in (("reward", comparison.reward), ("AUC", comparison.auc)):
            if found is not None:
                said.append(f"{name} {found.value:+.2g} on {comparison.version}")
    return ", ".join(said) or f"largest weight {judgement.verdict.largest_weight:.3g}"


def _is_pinned(shelf: Shelf, version: int) -> bool:
    return shelf.pin is not None and shelf.pin.version == version


def _served_by(shelf: Shelf, version: int) -> str:
    return escape(" ".join(one.sidecar for one in shelf.serving if one.version == version))


def print_info(info: ModelInfo) -> None:
    """What is said of a version."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in msgspec.to_builtins(info).items():
        if value not in (None, ""):
            told = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            table.add_row(name, escape(told))
    Console().print(table)


def print_calibration(calibration: Calibration | UnsetType | None) -> None:
    """What scores mean: the reward to be expected at some of them, and their ranks."""
    console = Console()
    if not calibration:
        told = (
            "it has learnt from too few examples yet" if calibration is None else "its learner did not know"
        )
        console.print(f"what a score means is not said: {told}", style="dim", highlight=False)
        return
    table = Table("score", "expected", "rank", box=None, pad_edge=False)
    scores = scores_at(calibration, _SHARES)
    expected, ranks = expected_of(scores, calibration), ranks_of(scores, calibration)
    for row in zip(scores.tolist(), expected.tolist(), ranks.tolist(), strict=True):
        table.add_row(*(f"{value:.4g}" for value in row))
    console.print(f"what a score means, by the latest {calibration.examples:,} examples:", highlight=False)
    console.print(table)


def print_weights(found: Sequence[NamedWeight]) -> None:
    """The largest weights."""
    table = Table("weight", "place", "feature", box=None, pad_edge=False)
    for place, value, names in found:
        told = escape(", ".join(names)) if names else "(not named by the arms and the decisions at hand)"
        table.add_row(f"{value:+.6g}", str(place), told, style=None if names else "dim")
    Console().print(table)


def print_backups(manifests: Sequence[Manifest]) -> None:
    """All backups of a place."""
    table = Table("version", "examples", "bytes", "bits", "interactions", "name", box=None, pad_edge=False)
    for one in manifests:
        size = sum(file.size_bytes for file in one.files.values())
        table.add_row(
            str(one.version),
            f"{one.examples:,}",
            f"{size:,}",
            str(one.bits),
            " ".join(one.interactions),
            one.name,
        )
    Console().print(table)
