"""Plans run on an event loop: one run, many at once, or none that fetches and needs no loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from time import monotonic

from feature_graph.async_run import Run, clock_of
from feature_graph.columns import Walk
from feature_graph.deadline import deadline_in
from feature_graph.errors import BadRun
from feature_graph.plan import Plan
from feature_graph.quiet import GRACE_S, wait_for_quiet
from feature_graph.record import Record
from feature_graph.resolution import NOTHING, Outcomes, Resolution, check_required
from feature_graph.resolutions import Resolutions
from feature_graph.scope import StandIn
from feature_graph.sheet import Row, Sheet
from feature_graph.straight_run import Failure, StraightRun
from feature_graph.walker import Happened, Party, Stopped, Walker


async def resolve(
    plan: Plan,
    given: Mapping[str, object],
    deadline_s: float | None = None,
    required: frozenset[str] = frozenset(),
    grace_s: float = GRACE_S,
    watching: bool = True,
) -> Resolution:
    """Run a plan; see :meth:`feature_graph.graph.Graph.resolve`. ``watching`` times each step of a fetch."""
    loop = asyncio.get_running_loop()
    if plan.line is not None and not required:
        return await _resolve_straight(plan, given, deadline_in(deadline_s), grace_s, loop, watching)
    run = Run(plan, given, loop, deadline_in(deadline_s), required, watching)
    try:
        run.advance()
        if run.left > 0:
            await run.finished()
    finally:
        record, stopped = run.close()
        abandoned = await wait_for_quiet(stopped, grace_s, loop) if stopped else ()
    resolution = _resolution(plan, record, abandoned, run.left_s)
    try:
        return check_required(resolution, required) if required else resolution
    finally:
        del run, record, resolution  # the error of a derived node knows this frame, and they know the error


async def _resolve_straight(
    plan: Plan,
    given: Mapping[str, object],
    left_s: float | None,
    grace_s: float,
    loop: asyncio.AbstractEventLoop,
    watching: bool,
) -> Resolution:
    run = StraightRun(plan, given, loop, clock_of(loop), left_s, watching, _go_on)
    try:
        await run.finished
    finally:
        record, stopped = run.close()
        abandoned = await wait_for_quiet(stopped, grace_s, loop) if stopped else ()
    try:
        return _resolution(plan, record, abandoned, left_s)
    finally:
        del run, record


def _go_on(straight: StraightRun, what: Failure | StandIn | None) -> Run:
    """The scheduler, from where a straight run came to."""
    run = Run.after(straight)
    run.heed((straight.standing, what))
    return run


async def resolve_all(
    plan: Plan,
    givens: Sequence[Mapping[str, object]],
    deadlines_s: Sequence[float | None],
    common: Mapping[str, object] = NOTHING,
    watching: bool = True,
    grace_s: float = GRACE_S,
) -> Resolutions:
    """Run a plan with ``columns`` for each of ``givens`` at once; all are given ``common`` besides."""
    loop = asyncio.get_running_loop()
    party = Party(plan, loop, clock_of(loop), watching, _goes_alone)
    of_each = {deadline_s: deadline_in(deadline_s) for deadline_s in {*deadlines_s}}
    walk = Walk(party, givens, [of_each[deadline_s] for deadline_s in deadlines_s], common)
    ends: dict[int, Record] = {}
    try:
        await walk.to_the_end()
    finally:
        stopped: Stopped = []
        for row, walker in walk.alone.items():
            ends[row], still = walker.ends()
            stopped += still
        walk.alone.clear()  # an error knows the frames that it went through, and they the walk
        stopped += walk.close()
        abandoned = await wait_for_quiet(stopped, grace_s, loop) if stopped else ()
    sheet = walk.sheet
    if not ends:
        return Resolutions(
            [None] * sheet.size, lambda row: _row(sheet, row, abandoned, of_each[deadlines_s[row]]), sheet
        )
    return Resolutions(
        [
            _resolution(plan, ends[row], abandoned, of_each[deadline_s])
            if row in ends
            else _row(sheet, row, abandoned, of_each[deadline_s])
            for row, deadline_s in enumerate(deadlines_s)
        ]
    )


def _row(sheet: Sheet, row: int, abandoned: tuple[str, ...], deadline_s: float | None) -> Resolution:
    """Of a run that went well."""
    plan, seen = sheet.plan, Row(sheet, row)
    return Resolution(
        plan.goals,
        plan.nodes,
        Outcomes(plan.nodes, seen),
        seen.spans,
        abandoned,
        sheet.blocked(row),
        plan.given,
        deadline_s,
        seen.peek,
        not plan.outcomes,  # what was handed in as an outcome may be a stand-in
    )


def _goes_alone(walker: Walker, *happened: Happened) -> Run:
    """The scheduler, from where one of many runs came to."""
    run = Run.after(walker)
    run.heed(*happened)
    return run


def resolve_at_once(plan: Plan, given: Mapping[str, object]) -> Resolution:
    """Run a plan that fetches nothing: it needs no event loop and may be called inside or outside of one.

    Raises:
        BadRun: it came upon a fetch.
    """
    run = Run(plan, given, _NoLoop(), None, frozenset())  # type: ignore[arg-type]  # only its clock is used
    run.advance()
    record, _ = run.close()
    return _resolution(plan, record, (), None)


def _resolution(
    plan: Plan, record: Record, abandoned: tuple[str, ...], deadline_s: float | None
) -> Resolution:
    outcomes = Outcomes(plan.nodes, record)
    return Resolution(
        plan.goals,
        plan.nodes,
        outcomes,
        record.spans,
        abandoned,
        record.blocked,
        plan.given,
        deadline_s,
        record.peek,
        record.fine,
    )


class _NoLoop:
    """As much of a loop as derived nodes need."""

    time = staticmethod(monotonic)

    def create_task(self, call: Coroutine[object, object, None]) -> asyncio.Task[None]:
        call.close()
        raise BadRun("a run without an event loop came upon a fetch")
