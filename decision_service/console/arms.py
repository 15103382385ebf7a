"""The page of arms: how often each is shown, and what it earned, in all and by segment.

Read from sums that whoever writes the log keeps (``arm_sums.py`` of the contracts): a few hashes, whatever
the number of decisions. A decision counts when its horizon is over, since only then its reward is known.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from decision_service.errors import BadRequest, FieldError
from decision_service.event_log import patiently
from sidecar.contracts import keys
from sidecar.contracts.arm_sums import DAYS, FIVES, HOURS, ArmSums, Grain, Shown, decode_sums, total
from sidecar.contracts.store import AsyncScripts

MOST_ARMS = 200
"""On the page, the busiest; of all others together it says how often they were shown."""
LEAST_DECISIONS, LEAST_REWARDED = 30, 5
"""Below, a normal interval is a guess, and none is given."""
_Z = 1.959964


class Window(Struct, frozen=True):
    """How far back: so many parts of time, the one that goes on among them."""

    grain: Grain
    parts: int


WINDOWS = {
    "1h": Window(FIVES, 13),
    "3h": Window(FIVES, 37),
    "24h": Window(HOURS, 25),
    "7d": Window(DAYS, 7),
    "30d": Window(DAYS, 30),
}
DEFAULT_WINDOW = "24h"


class Estimate(Struct, frozen=True):
    """A mean reward a decision, with its 95 % interval; null where there is too little for one."""

    value: float | None
    lower: float | None
    upper: float | None


class ArmRow(Struct, frozen=True, kw_only=True):
    """An arm, or what was too rare to be told apart."""

    arm: str | None
    """null: all others."""
    segment: str | None
    """null: of all traffic; empty: of what is in no segment."""
    decisions: int
    rewarded: int
    """With a reward of their own; the rest has the default."""
    share: float
    """Of the decisions, those that overload left out made up for."""
    shown: Estimate
    """What it earned when it was shown, to those to whom it was shown."""
    everybody: Estimate
    """What it would earn shown to all: by inverse propensities, self-normalised."""
    offered: bool
    """Whether it is in the catalogue now."""
    course: list[float] = []
    """Its share in each part of the window, oldest first; of all traffic only."""


class ArmsView(Struct, frozen=True, kw_only=True):
    """The page's data."""

    window: str
    windows: list[str]
    parts: list[int]
    """When each part of the window begins, in milliseconds since 1970."""
    decisions: int
    rewarded: int
    shown: Estimate
    """All arms together: what the service earns a decision."""
    arms: list[ArmRow]
    """The busiest first."""
    segments: list[ArmRow]
    """The same arms by segment, where there are segments."""
    unseen: int
    """Arms of the catalogue that are not among these."""
    horizon_s: float
    """How long after a decision it can be here at the earliest."""


class ArmsPage:
    """Reads; belongs to one event loop.

    Args:
        scripts: on the store.
        app: the application's name.
        horizon_s: of its rewards.
        offered: ids of the arms that are in the catalogue now.
        now_ms: the clock.
    """

    def __init__(
        self,
        scripts: AsyncScripts,
        app: str,
        horizon_s: float,
        offered: Callable[[], Iterable[str]],
        now_ms: Callable[[], int],
    ) -> None:
        self._scripts, self._app, self._horizon_s = scripts, app, horizon_s
        self._offered, self._now_ms = offered, now_ms

    async def look(self, name: str = DEFAULT_WINDOW) -> ArmsView:
        """The arms of the latest decisions.

        Raises:
            BadRequest: there is no such window.
            StoreAway: the store did not answer, or something else lies there.
        """
        window = WINDOWS.get(name)
        if window is None:
            raise BadRequest(FieldError("window", f"{name!r} is none; legal: {', '.join(WINDOWS)}"))
        last = self._now_ms() // window.grain.ms
        numbers = range(last - window.parts + 1, last + 1)
        stored = await patiently(lambda: self._read(window.grain, numbers))
        begins, offered = [number * window.grain.ms for number in numbers], frozenset(self._offered())
        # With thousands of arms this takes a tenth of a second, which decisions must not wait for.
        return await asyncio.to_thread(_view, name, begins, stored, offered, self._horizon_s)

    async def _read(self, grain: Grain, numbers: Iterable[int]) -> list[dict[bytes, bytes]]:
        pipe = self._scripts.client.pipeline(transaction=False)
        for number in numbers:
            pipe.hgetall(keys.arm_sums(self._app, grain.letter, number))
        return cast("list[dict[bytes, bytes]]", await pipe.execute())


Part = Mapping[Shown, ArmSums]


def _view(
    name: str,
    begins: list[int],
    stored: Iterable[Mapping[bytes, bytes]],
    offered: frozenset[str],
    horizon_s: float,
) -> ArmsView:
    parts = [decode_sums(one) for one in stored]
    by_pair = _grouped((shown, sums) for part in parts for shown, sums in part.items())
    by_arm = _grouped((Shown(shown.arm), sums) for shown, sums in by_pair.items())
    everything = total(by_arm.values()) if by_arm else ArmSums()
    rows = [_row(shown, None, sums, everything.s, offered) for shown, sums in by_arm.items()]
    rows.sort(key=lambda row: (row.arm is None, -row.decisions, row.arm or ""))
    kept = _cut(rows)
    named = {row.arm for row in kept}
    courses = _courses(parts, named)
    return ArmsView(
        window=name,
        windows=list(WINDOWS),
        parts=begins,
        decisions=round(everything.decisions),
        rewarded=round(everything.rewarded),
        shown=mean_of(everything),
        arms=[_with_course(row, courses) for row in kept],
        segments=_by_segment(by_pair, named, offered),
        unseen=len(offered - {row.arm for row in rows}),
        horizon_s=horizon_s,
    )


def mean_of(sums: ArmSums) -> Estimate:
    """What was earned a decision."""
    return _estimate(sums, sums.s, sums.sr, (sums.ss, sums.ssr, sums.ssrr))


def mean_for_everybody(sums: ArmSums) -> Estimate:
    """What would be earned a decision if all that could be shown the arm were shown it."""
    return _estimate(sums, sums.w, sums.wr, (sums.ww, sums.wwr, sums.wwrr))


def _estimate(sums: ArmSums, weight: float, earned: float, squares: tuple[float, float, float]) -> Estimate:
    """A weighted mean; its interval by the delta method."""
    if weight <= 0.0 or not math.isfinite(earned):
        return Estimate(None, None, None)
    mean, (ww, wwr, wwrr) = earned / weight, squares
    error = math.sqrt(max(wwrr - 2 * mean * wwr + mean * mean * ww, 0.0)) / weight
    known = sums.decisions >= LEAST_DECISIONS and sums.rewarded >= LEAST_REWARDED and math.isfinite(error)
    return Estimate(mean, mean - _Z * error, mean + _Z * error) if known else Estimate(mean, None, None)


def _grouped(pairs: Iterable[tuple[Shown, ArmSums]]) -> dict[Shown, ArmSums]:
    groups: dict[Shown, list[ArmSums]] = {}
    for shown, sums in pairs:
        groups.setdefault(shown, []).append(sums)
    return {shown: total(some) if len(some) > 1 else some[0] for shown, some in groups.items()}


def _row(shown: Shown, segment: str | None, sums: ArmSums, of: float, offered: frozenset[str]) -> ArmRow:
    return ArmRow(
        arm=shown.arm,
        segment=segment,
        decisions=round(sums.decisions),
        rewarded=round(sums.rewarded),
        share=sums.s / of if of > 0.0 else 0.0,
        shown=mean_of(sums),
        everybody=Estimate(None, None, None) if shown.arm is None else mean_for_everybody(sums),
        offered=shown.arm in offered,
    )


def _cut(rows: Sequence[ArmRow]) -> list[ArmRow]:
    """The busiest, and those that are told together."""
    return [*[row for row in rows if row.arm is not None][:MOST_ARMS], *[r for r in rows if r.arm is None]]


def _courses(parts: Sequence[Part], named: set[str | None]) -> dict[str | None, list[float]]:
    found: dict[str | None, list[float]] = {arm: [0.0] * len(parts) for arm in named}
    for place, part in enumerate(parts):
        whole = sum(sums.s for sums in part.values())
        for shown, sums in part.items():
            if shown.arm in found and whole > 0.0:
                found[shown.arm][place] += sums.s / whole
    return found


def _with_course(row: ArmRow, courses: Mapping[str | None, list[float]]) -> ArmRow:
    return replace(row, course=courses[row.arm])


def _by_segment(
    by_pair: Mapping[Shown, ArmSums], named: set[str | None], offered: frozenset[str]
) -> list[ArmRow]:
    """Arm by arm within each segment; shares are of the segment. Nothing where there is none."""
    told = {shown: sums for shown, sums in by_pair.items() if shown.arm is not None}
    if not any(shown.segment for shown in told):
        return []
    whole: dict[str, float] = {}
    for shown, sums in told.items():
        whole[shown.segment] = whole.get(shown.segment, 0.0) + sums.s
    rows = [
        _row(shown, shown.segment, sums, whole[shown.segment], offered)
        for shown, sums in told.items()
        if shown.arm in named
    ]
    return sorted(rows, key=lambda row: (row.segment or "", -row.decisions, row.arm or ""))
