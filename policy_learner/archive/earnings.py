"""What a file's decisions earned beside what drawing evenly would have: see the contract ``earned.py``.

Each decision is one bet, as in a contest of the policy that served against drawing evenly: what the policy is
worth more than its own control share is known at any moment, with an interval that holds at all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from policy_learner.promotion.contest import Span
from policy_learner.promotion.gains import gains
from policy_learner.promotion.ledger import span_of
from sidecar.contracts.application import Application
from sidecar.contracts.earned import BETS, MINUTE_MS, SLOT_MS, encode_bets
from sidecar.contracts.scripts.call import Call
from sidecar.contracts.scripts.earned import earned_call
from sidecar.policy.evidence import Floats, Sums

_MOST_CELLS = 1 << 17
"""Decisions times arms that are compared of one file: 6,500 decisions with twenty arms, some ten
milliseconds. Where there are more, evenly spaced ones of them: so many say enough."""
_AT_ONCE = 1 << 17
_PARITY = 1e-9
_US, _HOUR_MS, _DAY_MS = 1000, 3_600_000, 86_400_000


class _Rows(NamedTuple):
    """Columns of decisions that a model's scores decided, ``(n,)`` each."""

    at_ms: npt.NDArray[np.int64]
    rewards: Floats
    shown: npt.NDArray[np.int64]
    propensities: Floats
    starts: npt.NDArray[np.int64]
    """Where each one's pmf begins among ``chances``."""
    sizes: npt.NDArray[np.int64]
    chances: Floats
    """Of all of them, one after the other."""


class Earnings:
    """Of one application's files, in the order in which they are written.

    Args:
        application: the span of its rewards.
    """

    def __init__(self, application: Application) -> None:
        self._app, self._span = application.name, span_of(application)
        self._earned, self._decisions = 0.0, 0
        """Of earlier files, in shares of the span: the baseline, which must not know these rewards."""

    def call_of(self, partition: int, position: str, table: pa.Table) -> Call | None:
        """What to add for a file of one day; None: no model decided any of it."""
        rows = _rows_of(table)
        if not len(rows.rewards):
            return None
        compared, gain, bets = self._compare(rows)
        numbers = np.stack([np.ones(len(rows.rewards)), rows.rewards, compared, gain * self._span.width])
        day = _by(rows.at_ms // SLOT_MS, numbers) | {BETS: bets}
        hour_of = rows.at_ms // _HOUR_MS
        masks = {int(hour): hour_of == hour for hour in np.unique(hour_of)}
        hours = {h: _by(rows.at_ms[own] // MINUTE_MS, numbers[:, own]) for h, own in masks.items()}
        self._earned += float(self._span.shares_of(rows.rewards).sum())
        self._decisions += len(rows.rewards)
        return earned_call(self._app, partition, position, (int(rows.at_ms[0] // _DAY_MS), day), hours)

    def _compare(self, rows: _Rows) -> tuple[Floats, Floats, list[float]]:
        """Which rows were compared, what each gained in shares of the span, and the evidence of all."""
        compared, gain = np.zeros(len(rows.rewards)), np.zeros(len(rows.rewards))
        won, lost, baseline = Sums(), Sums(), self._earned / max(self._decisions, 1)
        shares = self._span.shares_of(rows.rewards)
        for places in _groups(rows):
            size = int(rows.sizes[places[0]])
            chances = rows.chances[rows.starts[places][:, None] + np.arange(size)]
            even, shown = np.full_like(chances, 1.0 / size), rows.shown[places]
            drawn = chances[np.arange(len(places)), shown]
            own = np.abs(drawn - rows.propensities[places]) <= _PARITY
            places, chances, even, shown = places[own], chances[own], even[own], shown[own]
            outcomes = gains(chances, even, chances, shown, shares[places], baseline)
            won.add(outcomes)
            lost.add(gains(even, chances, chances, shown, shares[places], baseline))
            compared[places], gain[places] = 1.0, outcomes[-1]
        return compared, gain, _bets(won, lost, self._span)


def _bets(won: Sums, lost: Sums, span: Span) -> list[float]:
    sides = [(*sums.total, *sums.squares) for sums in (won, lost)]
    return encode_bets(won.count, sides[0], sides[1], span.width)


def _rows_of(table: pa.Table) -> _Rows:
    """The decisions that say something of a choice."""
    pmf = table["pmf"].combine_chunks()
    offsets = np.asarray(pmf.offsets).astype(np.int64)
    sizes = np.diff(offsets)
    wanted = (
        np.asarray(pc.equal(table["source"], "model"))
        & (np.asarray(table["slot"]) == 0)
        & np.asarray(pc.fill_null(table["activated"], True))
        & np.asarray(pc.is_valid(table["reward"]))
        & ~np.asarray(table["deterministic"])
        & (np.asarray(table["arm_index"]) < sizes)
        & (sizes > 1)
    )
    columns = (
        np.asarray(table[name].cast(pa.int64()) if name == "finalised_at" else pc.fill_null(table[name], 0))
        for name in ("finalised_at", "reward", "arm_index", "propensity")
    )
    at_us, reward, shown, propensity = (column[wanted] for column in columns)
    flat = np.asarray(pmf.values, np.float64)
    starts = offsets[:-1][wanted]
    return _Rows(
        at_us.astype(np.int64) // _US,
        reward.astype(np.float64),
        shown.astype(np.int64),
        propensity.astype(np.float64),
        starts,
        sizes[wanted],
        flat,
    )


def _groups(rows: _Rows) -> Iterator[npt.NDArray[np.int64]]:
    """Places of decisions with equally many arms, as many as fit in hand."""
    cells = int(rows.sizes.sum())
    some = np.arange(0, len(rows.sizes), max(1, -(-cells // _MOST_CELLS)))
    for size in np.unique(rows.sizes[some]):
        alike = some[rows.sizes[some] == size]
        most = max(1, _AT_ONCE // int(size))
        yield from (alike[start : start + most] for start in range(0, len(alike), most))


def _by(slots: npt.NDArray[np.int64], numbers: Floats) -> dict[str, list[float]]:
    """Sums by slot."""
    found, codes = np.unique(slots, return_inverse=True)
    sums = np.stack([np.bincount(codes.reshape(-1), column, len(found)) for column in numbers], axis=1)
    return {str(slot): row.tolist() for slot, row in zip(found, sums, strict=True)}
