"""From fetch to fetch: what many runs do side by side without waiting for anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat, starmap
from typing import Any, Protocol

from feature_graph.node import MISSING
from feature_graph.reasons import can_be_awaited, not_a_value, ours, plain_types
from feature_graph.sheet import Rows, Sheet
from feature_graph.straight import CALL, FETCH, PASS, TEST, Op
from feature_graph.watch import BLOCKED_S

Places = dict[int, Rows]
"""Who is at which place of the line."""
_INTERRUPTS = (KeyboardInterrupt, SystemExit)


class Together(Protocol):
    """The runs."""

    sheet: Sheet
    line: tuple[Op, ...]
    clock: Callable[[], float]

    def raised(self, node: int, row: int, began_s: float, error: BaseException) -> None:
        """A node was called for one of them, and raised: it goes on alone."""


def walk(runs: Together, ahead: Places, end: int) -> list[tuple[int, Rows]]:
    """Everybody from where they are up to the next fetch, or to ``end``. Who is before which fetch then.

    Who came to the end, or further, is left in ``ahead``.
    """
    line = runs.line
    before: list[tuple[int, Rows]] = []
    while ahead and (place := min(ahead)) < end:
        here: Rows = ()
        while place < end and (here or place in ahead):
            if place in ahead:
                here = merged(here, ahead.pop(place))
            op, place = line[place], place + 1
            if op.kind == CALL:
                here = _call(runs, op, here)
            elif op.kind == FETCH:
                before.append((place - 1, here))
                here = ()
            elif op.kind == TEST:
                here = _test(runs, op, here, ahead)
            elif op.kind == PASS:
                _pass(runs, op, here)
                if op.jump != place and here:
                    ahead[op.jump] = merged(ahead.get(op.jump, ()), here)
                    here = ()
        if here:
            ahead[place] = merged(ahead.get(place, ()), here)
    return before


def merged(some: Rows, others: Rows) -> Rows:
    """Both, in the order of the runs: as many as there are must be all of them in their order."""
    return sorted([*some, *others]) if some else others


@ours
def _call(runs: Together, op: Op, here: Rows) -> Rows:
    """Call a derived node for each; those who have its value."""
    sheet, node = runs.sheet, op.place
    rows = here if sheet.columns[node] is None else sheet.lacking(node, here)
    if not rows:
        return here
    callers = rows[:1] if len(rows) > 1 and node in sheet.plan.same else rows  # one is called for all
    arguments, wanted = arguments_of(sheet, op, callers), len(callers)
    function: Any = op.function
    calls = map(function, *arguments) if arguments else starmap(function, repeat((), wanted))
    made: list[object] = []
    raised: dict[int, BaseException] = {}
    began_s = runs.clock()
    while len(made) < wanted:
        try:
            made.extend(calls)  # what was made before one raised is kept, and the next one is called then
            if len(made) < wanted:  # for a list, that is how its source ends
                raised[len(made)] = StopIteration()
                made.append(MISSING)
        except _INTERRUPTS:
            raise
        except BaseException as error:
            raised[len(made)] = error
            made.append(MISSING)
    if not plain_types.issuperset(map(type, made)):
        _refuse_awaitables(op, made, raised)
    if callers is not rows:
        made *= len(rows)
    if len(rows) == sheet.size:
        sheet.columns[node] = made
    else:
        sheet.write(node, rows, made)
    ended_s = runs.clock()
    sheet.entries.append((node, rows, began_s, ended_s, -1, None))
    if ended_s - began_s > BLOCKED_S:
        sheet.hold(rows[0], op.name, ended_s - began_s)
    if not raised:
        return here
    if callers is not rows:
        raised.update(dict.fromkeys(range(len(rows)), raised[0]))
    return _without(runs, node, rows, raised, began_s, here)


def _without(
    runs: Together, node: int, rows: Rows, raised: dict[int, BaseException], began_s: float, here: Rows
) -> Rows:
    """Those who are left when the others have gone on alone."""
    gone = {rows[place] for place in raised}
    for place in list(raised):
        runs.raised(node, rows[place], began_s, raised.pop(place))  # an error knows the frame that has these
    return [row for row in here if row not in gone]


def _refuse_awaitables(op: Op, made: list[object], raised: dict[int, BaseException]) -> None:
    for place, value in enumerate(made):
        if type(value) not in plain_types and can_be_awaited(value):
            raised[place], made[place] = not_a_value(op.name, value), MISSING


def arguments_of(sheet: Sheet, op: Op, rows: Rows) -> Sequence[list[Any]]:
    """A column an argument."""
    found: Any = op.pick(sheet.columns)  # type: ignore[misc,arg-type]  # it only takes by index
    return found if len(rows) == sheet.size else [[column[row] for row in rows] for column in found]


@ours
def _test(runs: Together, op: Op, here: Rows, ahead: Places) -> Rows:
    """Take a side of a branch; those whose side comes first, while the others are ahead."""
    sheet, node, began_s = runs.sheet, op.place, runs.clock()
    then, otherwise = sheet.plan.steps[node].sides
    rows = sheet.lacking(node, here)
    stay: list[int] = []
    leave: list[int] = []
    for row, condition in zip(rows, sheet.read(sheet.columns[op.first], rows), strict=True):
        try:
            (stay if condition else leave).append(row)
        except _INTERRUPTS:
            raise
        except BaseException as error:
            runs.raised(node, row, began_s, error)
    for some, side in ((stay, then), (leave, otherwise)):
        if some:
            sheet.entries.append((node, some, began_s, None, side, None))
    if leave:
        ahead[op.jump] = merged(ahead.get(op.jump, ()), leave)
    if len(rows) < len(here):  # they have been through here on another way
        end, have = runs.line[op.jump - 1].jump, set(rows)
        ahead[end] = merged(ahead.get(end, ()), [row for row in here if row not in have])
    return stay


def _pass(runs: Together, op: Op, here: Rows) -> None:
    """A branch has the value of its side."""
    sheet = runs.sheet
    rows = sheet.lacking(op.place, here)
    if rows:
        sheet.write(op.place, rows, sheet.read(sheet.columns[op.first], rows))
        sheet.entries.append((op.place, rows, None, runs.clock(), -1, None))
