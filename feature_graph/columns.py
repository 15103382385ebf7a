"""Many runs of one plan, side by side: each step is done for all of them before the next one is.

A service that answers many requests at once asks the same questions for each. Where the plan is a line
(:mod:`feature_graph.straight`), the runs walk it together: a derived node is called for each, a lookup asks
once with the keys of all, and what is the same for all is found out once. No task, no future, no timer and no
record is any run's own (:mod:`feature_graph.sheet`).

Only as long as all goes well with it: a run whose node raises, is late or stands in goes to the scheduler,
alone, with what is known so far (:mod:`feature_graph.walker`): both answer alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from math import inf
from typing import NamedTuple

from feature_graph.alarm import LATE_S
from feature_graph.asking import ONLY, Question
from feature_graph.batching import Answer
from feature_graph.outcome import Status
from feature_graph.reasons import cancelled, deadline_passed, too_slow, without_our_frames
from feature_graph.record import Record
from feature_graph.scope import Scope, StandIn, enter
from feature_graph.sheet import Rows, Sheet
from feature_graph.straight import Op
from feature_graph.stretch import Places, arguments_of, merged, walk
from feature_graph.walker import Failure, Happened, Party, Stopped, Walker

_FAILED, _TIMED_OUT, _CANCELLED = Status.FAILED, Status.TIMED_OUT, Status.CANCELLED
_TURNS = 2
"""As of :mod:`feature_graph.alarm`."""
JOIN_S, JOIN_SHARE = 0.002, 0.1
"""For so long, and that share of the time there is, who is before a fetch waits for others who come to it
next: one question then and not two. Runs end together: nobody is answered later than the others are."""


class Part(NamedTuple):
    """One fetch that runs wait for."""

    op: Op
    until_s: float
    keys: Sequence[object]
    """Of each run."""
    question: Question


class Wait(NamedTuple):
    """Runs that wait for a fetch, or for all that were asked for together."""

    began_s: float
    place: int
    """Where they go on."""
    rows: Rows
    parts: Sequence[Part]
    late: dict[tuple[int, int], BaseException]
    """Runs for which a part, by its number, did not come in time; they wait for the others."""


class Walk:
    """All the runs.

    Args:
        party: of a plan with ``columns``.
        givens: of each run, at least one.
        lefts_s: seconds that each has; None: all the time there is.
        common: what all of them are given.

    Attributes:
        alone: runs that left, by their places.
        loop: whose tasks the calls are.
        clock: its.
    """

    def __init__(
        self,
        party: Party,
        givens: Sequence[Mapping[str, object]],
        lefts_s: Sequence[float | None],
        common: Mapping[str, object],
    ) -> None:
        assert party.plan.columns is not None
        self._party, self._lefts_s = party, lefts_s
        self.loop, self.clock, self.line = party.loop, party.clock, party.plan.columns
        now = self.clock()
        self.sheet = Sheet(party.plan, givens, common, now)
        self.alone: dict[int, Walker] = {}
        of_each = dict.fromkeys(lefts_s)  # mostly one
        self._ends_s = {left_s: inf if left_s is None else now + left_s for left_s in of_each}
        self._asked: list[Question] = []
        self._waits: list[Wait] = []
        self._stopped: Stopped = []
        self._woken: asyncio.Future[None] | None = None
        self._joins_until_s = inf
        """Until when others are waited for; inf: nobody does yet."""
        self._context = copy_context()
        self._context.run(enter, Scope(), (self.clock, max(self._ends_s.values()), 0))

    async def to_the_end(self) -> None:
        """Until every run has all that it wants, on this way or alone.

        Who waits for no fetch any more waits for the others, a little: what is left is done for all at once.
        """
        ahead: Places = {0: range(self.sheet.size)}
        last, whole = self.sheet.plan.last, len(self.line)
        while True:
            joins: Places = {}
            until = whole if self._waited_enough else last
            for place, here in self._context.run(walk, self, ahead, until):
                if self._waits and self._is_joined(place):
                    joins[place] = here
                else:
                    self._fetch(place, here, ahead)
            if self._waits and min(ahead, default=last) >= last:
                if joins or ahead:
                    self._wait_for_others()
                await self._news()
                self._hear(ahead)
            for place, here in joins.items():
                ahead[place] = merged(ahead.get(place, ()), here)
            if not self._waits and min(ahead, default=last) >= last:
                break
        self._context.run(walk, self, ahead, whole)
        for finished in [
            walker.finished for walker in self.alone.values()
        ]:  # no walker: errors know this frame
            await finished

    def close(self) -> Stopped:
        """End what is under way; it still has to be waited for."""
        for question in self._asked:
            self._stopped += question.stop()
        self._asked.clear()
        return self._stopped

    # ------------------------------------------------------------------ who goes on alone

    def raised(self, node: int, row: int, began_s: float, error: BaseException) -> None:
        """A node was called for a run, and raised."""
        why = without_our_frames(error)
        self._leaves(row, began_s, [(node, (node, _FAILED, why, node), None)])

    def _leaves(
        self,
        row: int,
        began_s: float,
        happened: Sequence[tuple[int, Failure | StandIn, Mapping[str, object] | None]],
    ) -> None:
        """With what happened to which nodes, and what those told."""
        record, now = self.sheet.record(row), self.clock()
        for node, _, notes in happened:
            record.started[node], record.ended[node] = began_s, now
            if notes is not None:
                record.notes[node] = notes
        self._goes_alone(row, record, *[(node, what) for node, what, _ in happened])

    def _goes_alone(self, row: int, record: Record, *happened: Happened) -> None:
        left_s = self._lefts_s[row]
        walker = Walker(self._party, self.sheet.given(row), left_s, self._ends_s[left_s], record)
        self.alone[row] = walker
        walker.goes_on(*happened)

    # ------------------------------------------------------------------ asking

    def _fetch(self, place: int, here: Rows, ahead: Places) -> None:
        """Ask for all who want it, and for what is asked for together with it; the others go on."""
        first, now = self.line[place], self.clock()
        on = place + first.jump + 1
        rows = self.sheet.lacking(first.place, here)
        if len(rows) < len(here):
            want = set(rows)
            ahead[on] = merged(ahead.get(on, ()), [row for row in here if row not in want])
        asked: dict[object, Question] = {}
        ops = self.line[place:on]
        for left_s, some in self._by_time(rows):
            end_s = self._ends_s[left_s]
            if now >= end_s or (left_s is not None and left_s <= 0.0):
                for row in some:
                    self._goes_alone(row, self.sheet.record(row), (first.place, None))
                continue
            for lot in self._lots(ops, some):
                parts = [self._want(op, asked, lot, min(now + op.timeout_s, end_s)) for op in ops]
                self._waits.append(Wait(now, on, lot, parts, {}))
        for question in asked.values():
            question.ask()
            self._asked.append(question)

    def _is_joined(self, place: int) -> bool:
        """Whether somebody who waits comes to that fetch next, and in time to be waited for."""
        meets = self.sheet.plan.meets
        if all(meets.get(wait.place) != place for wait in self._waits):
            return False
        self._wait_for_others()
        return not self._waited_enough

    def _wait_for_others(self) -> None:
        """From now on, if nobody does yet, and for a little."""
        if self._joins_until_s == inf:
            now = self.clock()
            left_s = min(self._ends_s.values()) - now
            self._joins_until_s = now + min(JOIN_S, max(left_s, 0.0) * JOIN_SHARE)

    @property
    def _waited_enough(self) -> bool:
        """Whether somebody has waited for others for long enough."""
        return self._joins_until_s < inf and self.clock() >= self._joins_until_s

    def _by_time(self, rows: Rows) -> list[tuple[float | None, Rows]]:
        """Those who have the same time, together."""
        if len(self._ends_s) == 1:
            return [(self._lefts_s[0], rows)] if rows else []
        found: dict[float | None, list[int]] = {}
        for row in rows:
            found.setdefault(self._lefts_s[row], []).append(row)
        return list(found.items())

    def _lots(self, ops: Sequence[Op], rows: Rows) -> list[Rows]:
        """Those who ask with the same other arguments, and keys of one type: True is no 1."""
        plan, columns = self.sheet.plan, self.sheet.columns
        differ: list[list[object]] = []
        for op in ops:
            asking = plan.asking[op.place]
            if not asking.once:
                kinds: list[object] = [*map(type, self.sheet.read(columns[op.first], rows))]
                if len({*kinds}) > 1:
                    differ.append(kinds)
                if not asking.alike:
                    others = [node for node in plan.steps[op.place].dependencies[1:] if node not in plan.same]
                    differ += [[*map(id, self.sheet.read(columns[node], rows))] for node in others]
        if not differ:
            return [rows]
        lots: dict[tuple[object, ...], list[int]] = {}
        for row, *which in zip(rows, *differ, strict=True):
            lots.setdefault(tuple(which), []).append(row)
        return list(lots.values())

    def _want(self, op: Op, asked: dict[object, Question], rows: Rows, until_s: float) -> Part:
        """A question to ask, or one that is going to be asked anyway."""
        asking = self.sheet.plan.asking[op.place]
        keys: Sequence[object]
        if asking.once:
            keys, columns = [ONLY] * len(rows), arguments_of(self.sheet, op, rows[:1])
        else:
            keys, *columns = arguments_of(self.sheet, op, rows)
        others = [column[0] for column in columns]
        of = op.place, type(keys[0]), *map(id, others)
        question = asked.get(of)
        if question is None:
            question = asked[of] = Question(self, asking, others, until_s)
        elif until_s > question.until_s:
            question.until_s = until_s
        return Part(op, until_s, question.want(keys), question)

    # ------------------------------------------------------------------ hearing

    async def _news(self) -> None:
        """Wait until something has come, or somebody is late, or has waited long enough for others."""
        if not [question for question in self._asked if question.left]:
            for question in self._asked:
                question.is_over()
            return
        now = self.clock()
        due_s = [part.until_s for wait in self._waits for part in wait.parts if part.until_s > now]
        if self._joins_until_s > now:
            due_s.append(self._joins_until_s)
        until_s = min(due_s, default=now)
        self._woken = self.loop.create_future()  # what ``asyncio.wait`` does at three times the price
        timer = self.loop.call_later(until_s - now, self.ended) if until_s < inf else None
        try:
            await self._woken
        finally:
            if timer is not None:
                timer.cancel()
        if self.clock() - until_s > LATE_S:  # the loop was held up: what came meanwhile is looked at first
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    def ended(self) -> None:
        """A call has, or somebody's time."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _hear(self, ahead: Places) -> None:
        """Give out what has come, and give up on who is late; those who go on are ``ahead`` then."""
        now, waits, self._waits = self.clock(), self._waits, []
        for wait in waits:
            if went_on := self._take(wait, now):
                ahead[wait.place] = merged(ahead.get(wait.place, ()), went_on)
        self._end_unwanted()

    def _take(self, wait: Wait, now: float) -> Rows:
        """What has come for those who wait; who goes on with it."""
        parts = wait.parts
        if len(parts) > 1 and [part for part in parts if part.question.left and now < part.until_s]:
            for number, part in enumerate(parts):
                if now >= part.until_s and part.question.found is None:
                    for at in range(len(wait.rows)):
                        self._said(wait, number, at, now)  # who is late stays so
            self._waits.append(wait)
            return ()
        founds = [part.question.found for part in parts if part.question.found is not None]
        if wait.late or len(founds) < len(parts):
            return self._take_some(wait, now)
        began_s, sheet, rows = wait.began_s, self.sheet, wait.rows
        for (op, _, keys, question), found in zip(parts, founds, strict=True):
            sheet.write(op.place, rows, [*map(found.__getitem__, keys)])
            sheet.entries.append((op.place, rows, began_s, now, -1, question.told))
        return rows

    def _take_some(self, wait: Wait, now: float) -> Rows:
        """Where something is missing, or not as it should be."""
        on: list[int] = []
        still: list[int] = []
        for at, row in enumerate(wait.rows):
            said = [self._said(wait, number, at, now) for number in range(len(wait.parts))]
            if None in said:
                still.append(at)
                continue
            happened = []
            for part, answer in zip(wait.parts, said, strict=True):
                if isinstance(answer, Answer) and answer.is_plain:
                    self.sheet.write(part.op.place, [row], [answer.value])
                    self.sheet.entries.append((part.op.place, [row], wait.began_s, now, -1, answer.notes))
                elif answer is not None:
                    happened.append(_trouble(part, answer))
            if happened:
                self._leaves(row, wait.began_s, happened)
            else:
                on.append(row)
        if still:
            rows = [wait.rows[at] for at in still]
            parts = [part._replace(keys=[part.keys[at] for at in still]) for part in wait.parts]
            self._waits.append(wait._replace(rows=rows, parts=parts))
        return on

    def _said(self, wait: Wait, number: int, at: int, now: float) -> Answer | BaseException | None:
        """An answer, or why there is none in time; None: it may still come."""
        part, row = wait.parts[number], wait.rows[at]
        if (late := wait.late.get((row, number))) is not None:
            return late
        key = part.keys[at]
        answer = part.question.answer(key)
        if answer is None and now >= part.until_s:
            answer = part.question.meanwhile.get(key)
            if answer is None:
                is_over = part.until_s >= self._ends_s[self._lefts_s[row]]
                op = part.op
                late = deadline_passed(op.name) if is_over else too_slow(op.name, op.timeout_s)
                wait.late[row, number] = late
                return late
        return answer

    def _end_unwanted(self) -> None:
        """A call that nobody waits for is ended."""
        if not self._waits:
            self.close()
            return
        wanted_by = {part.question for wait in self._waits for part in wait.parts}
        for question in self._asked:
            if question not in wanted_by:
                self._stopped += question.stop()
        self._asked = [question for question in self._asked if question in wanted_by]


def _trouble(
    part: Part, answer: Answer | BaseException
) -> tuple[int, Failure | StandIn, Mapping[str, object] | None]:
    """What happened to a node that has no value, or one that is no observation; and what it told."""
    node = part.op.place
    if not isinstance(answer, Answer):
        return node, (node, _TIMED_OUT, answer, node), part.question.told
    if answer.error is None:
        assert isinstance(answer.value, StandIn)
        return node, answer.value, answer.notes
    why = without_our_frames(answer.error.with_traceback(answer.traceback))
    if isinstance(why, asyncio.CancelledError):
        return node, (node, _CANCELLED, cancelled(part.op.name, why), node), answer.notes
    return node, (node, _FAILED, why, node), answer.notes
