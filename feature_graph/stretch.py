"""From fetch to fetch: what many runs do side by side without waiting for anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from feature_graph.outcome import Status
from feature_graph.plan import Step
from feature_graph.reasons import can_be_awaited, not_a_value, ours, plain_types
from feature_graph.straight import CALL, FETCH, PASS, TEST, Op
from feature_graph.walker import Walker
from feature_graph.watch import BLOCKED_S

_OK = Status.OK
Places = dict[int, list[Walker]]
"""Who is at which place of the line."""


def walk(
    line: Sequence[Op], steps: Sequence[Step], ahead: Places, clock: Callable[[], float]
) -> list[tuple[int, list[Walker]]]:
    """Everybody from where they are up to the next fetch, or to the end. Who is before which fetch then."""
    before: list[tuple[int, list[Walker]]] = []
    while ahead:
        here: list[Walker] = []
        place = min(ahead)
        while place < len(line) and (here or place in ahead):
            here += ahead.pop(place, ())
            op, place = line[place], place + 1
            if op.kind == FETCH:
                before.append((place - 1, here))
                here = []
            elif op.kind == CALL:
                here = _call(op, here, clock)
            elif op.kind == TEST:
                here = _test(op, steps, here, ahead, clock)
            elif op.kind == PASS:
                _pass(op, here, clock)
                if op.jump != place and here:
                    ahead.setdefault(op.jump, []).extend(here)
                    here = []
        ahead.pop(len(line), None)  # they have come to the end
    return before


@ours
def _call(op: Op, here: list[Walker], clock: Callable[[], float]) -> list[Walker]:
    """Call a derived node for each; those who have its value."""
    _, index, function, arity, first, second, pick, _, name, _ = op
    now, lost = clock(), False
    for walker in here:
        record = walker.record
        if record.status[index] is not None:
            continue
        values = record.values_at
        record.started[index] = began = now
        try:
            if arity == 1:
                value = function(values[first])  # type: ignore[misc]
            elif arity == 2:
                value = function(values[first], values[second])  # type: ignore[misc]
            else:
                value = function(*pick(values))  # type: ignore[misc]
            if type(value) not in plain_types and can_be_awaited(value):
                raise not_a_value(name, value)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            del record, values  # what a fallback raises will know this frame
            walker.raised(index, error)
            now, lost = clock(), True
            continue
        values[index], record.status[index] = value, _OK
        record.ended[index] = now = clock()
        if now - began > BLOCKED_S:
            record.hold(name, now - began)
    return [one for one in here if one.rest is None] if lost else here


@ours
def _test(
    op: Op, steps: Sequence[Step], here: list[Walker], ahead: Places, clock: Callable[[], float]
) -> list[Walker]:
    """Take a side of a branch; those whose side comes first, while the others are ahead."""
    index, condition = op.place, op.first
    then, otherwise = steps[index].sides
    now = clock()
    stay: list[Walker] = []
    leave: list[Walker] = []
    for walker in here:
        record = walker.record
        if record.status[index] is not None:
            stay.append(walker)
            continue
        record.started[index] = now
        try:
            taken = bool(record.values_at[condition])
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            walker.raised(index, error)
            continue
        record.taken[index] = then if taken else otherwise
        (stay if taken else leave).append(walker)
    if leave:
        ahead.setdefault(op.jump, []).extend(leave)
    return stay


def _pass(op: Op, here: Iterable[Walker], clock: Callable[[], float]) -> None:
    """A branch has the value of its side."""
    index, side, now = op.place, op.first, clock()
    for walker in here:
        record = walker.record
        if record.status[index] is None:
            record.values_at[index], record.status[index] = record.values_at[side], _OK
            record.ended[index] = now
