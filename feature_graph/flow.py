"""What follows from what in a run: demand, success, failure, branches, and who is let go.

Counters and indices only; tasks and time are the engine's. Whoever gets a value counts its consumers down; a
failure runs through its hard consumers at once and lets go of what only they wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from feature_graph.node import MISSING
from feature_graph.outcome import Status
from feature_graph.plan import DEMANDED_BELOW, Kind, Plan, Step
from feature_graph.reasons import caused, ours, without_our_frames
from feature_graph.record import Record
from feature_graph.scope import Notes, StandIn

# Bound once: reading a member through its enum class costs more than the comparison.
_OK, _FALLBACK, _GIVEN = Status.OK, Status.FALLBACK, Status.GIVEN
_FAILED, _UPSTREAM = Status.FAILED, Status.UPSTREAM_FAILED
_CANCELLED, _NOT_NEEDED = Status.CANCELLED, Status.NOT_NEEDED
_BRANCH = int(Kind.BRANCH)

Failure = tuple[int, Status, BaseException | None, int | str]
"""Node, what became of it, why, and the node where that began."""


class Flow:
    """The state of one run, but for what runs. Everything is indexed as in the plan.

    Attributes:
        left: goals that are not settled.
        ready: nodes that have all that they need, in the order in which they came to it.
        running: the fetches under way.
    """

    __slots__ = (
        "_ended",
        "_pending",
        "_position",
        "_reasons",
        "_required",
        "_roots",
        "_started",
        "_status",
        "_steps",
        "_taken",
        "_values",
        "_waiting",
        "clock",
        "left",
        "ready",
        "record",
        "running",
    )

    def __init__(
        self,
        plan: Plan,
        record: Record,
        required: frozenset[str],
        running: Mapping[int, object],
        clock: Callable[[], float],
    ) -> None:
        self.left = plan.unsettled_goals
        self.ready = list(plan.ready)
        self.record = record
        self.running = running
        self.clock = clock
        self._values, self._status = record.values_at, record.status
        self._started, self._ended = record.started, record.ended
        self._reasons, self._roots, self._taken = record.reasons, record.roots, record.taken
        self._steps = plan.steps
        self._pending = list(plan.pending)
        self._required = required
        self._position: dict[int, int] = {}
        self._waiting: dict[int, list[int]] = {}

    def stop(self, index: int) -> None:
        """End a fetch that runs."""
        raise NotImplementedError

    def forget(self) -> Record:
        """Give the record away.

        An error in it holds a traceback, whose frames hold this run: what the run still knew would be kept
        until the garbage collector came by.
        """
        record = self.record
        record.forget_stand_ins()
        del self.record, self._values, self._status, self._reasons, self._roots, self._taken
        return record

    @ours
    def call(self, step: Step) -> object:
        """Call with defaults for what has no value, outcomes where they are asked for, and keywords."""
        positional, by_keyword = [], {}
        for source, keyword, default, wants_outcome in step.arguments:
            if source < 0:
                value = default
            elif wants_outcome:
                value = self.record.outcome(source)
            else:
                value = self._values[source] if self.has_value(source) else default
            if keyword is None:
                positional.append(value)
            else:
                by_keyword[keyword] = value
        return step.function(*positional, **by_keyword)  # type: ignore[misc]

    def has_value(self, index: int) -> bool:
        """True if the node came to one, whichever way."""
        status = self._status[index]
        return status is _OK or status is _FALLBACK or status is _GIVEN

    # ------------------------------------------------------------------ branches

    @ours
    def decide(self, step: Step) -> None:
        """Go on with a branch: choose its side, wait for it, or pass on what came of it."""
        side = self._taken.get(step.index)
        if side is None:
            try:
                taken = bool(self._values[step.dependencies[0]])
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                failure = without_our_frames(error)
            else:
                side = self._taken[step.index] = step.sides[0 if taken else 1]
                self.let_go((step.sides[1 if taken else 0],))
        if side is None:
            self.fail(((step.index, _FAILED, failure, step.index),))
            del failure  # its traceback holds this frame
        elif self._status[side] is None:
            self._wait_for(side, step)
        elif self.has_value(side):
            self._pass_on(step, side)
        else:
            self.fail(((step.index, _UPSTREAM, self._reasons.get(side), self._roots.get(side, side)),))

    def choose(self, step: Step) -> None:
        """Go on with a first_of: with the first choice that is not known to have no value."""
        for position in range(self._position.get(step.index, 0), len(step.sides)):
            side = step.sides[position]
            self._position[step.index] = position
            if self._status[side] is None:
                self._wait_for(side, step)
                return
            if self.has_value(side):
                self._taken[step.index] = side
                self._pass_on(step, side)
                return
        first = step.sides[0]
        self.fail(((step.index, _UPSTREAM, self._reasons.get(first), self._roots.get(first, first)),))

    def _wait_for(self, side: int, step: Step) -> None:
        self._waiting.setdefault(side, []).append(step.index)
        self._demand(side, step.index)

    def _pass_on(self, step: Step, side: int) -> None:
        if self._status[side] is _FALLBACK:
            self._reasons[step.index], self._roots[step.index] = self._reasons[side], self._roots[side]
            self.give(step, _FALLBACK, self._values[side])
        else:
            self.give(step, _OK, self._values[side])
        self._ended[step.index] = self.clock()

    # ------------------------------------------------------------------ demand, success, failure

    def _demand(self, first: int, wanted_by: int) -> None:
        """Call for a node and all that it needs, as far as nobody has yet."""
        stack = [(first, wanted_by)]
        status, pending = self._status, self._pending
        while stack:
            index, consumer = stack.pop()
            if status[index] is not None or pending[index] < DEMANDED_BELOW or status[consumer] is not None:
                continue
            step = self._steps[index]
            missing = [dep for dep in step.dependencies if status[dep] is None]
            pending[index] = len(missing)
            lost = next((dep for dep in step.dependencies if dep in step.hard and self._is_lost(dep)), None)
            if lost is not None:
                self.fail(((index, _UPSTREAM, self._reasons.get(lost), self._roots.get(lost, lost)),))
            elif missing:
                stack.extend([(dep, index) for dep in reversed(missing)])
            else:
                self.ready.append(index)

    def _is_lost(self, index: int) -> bool:
        return self._status[index] is not None and not self.has_value(index)

    def give(self, step: Step, status: Status, value: object) -> None:
        """A node has its value."""
        index = step.index
        self._values[index] = value
        self._status[index] = status
        pending = self._pending
        for consumer in step.consumers:
            pending[consumer] = missing = pending[consumer] - 1
            if not missing:
                self.ready.append(consumer)
        if step.waited_for:
            self.tell(step)

    def tell(self, step: Step) -> None:
        """Whoever waits for this very node: branches and first_ofs, and the caller."""
        if step.users and step.index in self._waiting:
            self.ready.extend(self._waiting.pop(step.index))
        if step.is_goal:
            self.left -= 1

    def fail(self, failures: Iterable[Failure]) -> None:
        """Record failures, let fallbacks stand in, and carry the rest to all that cannot run without."""
        work = deque(failures)
        loose: list[int] = []
        while work:
            index, status, error, root = work.popleft()
            if self._status[index] is not None:
                continue
            step = self._steps[index]
            if len(step.dependencies) > 1:
                loose.extend(step.dependencies)
            self._reasons[index], self._roots[index] = error, root
            if self._fall_back(step, error):
                continue
            if self._reasons[index] is not error:  # the fallback raised
                status, root, error = _FAILED, index, self._reasons[index]
            self._status[index] = status
            self._settle_failed(step)
            for consumer in step.consumers:
                if self._status[consumer] is None and self._pending[consumer] < DEMANDED_BELOW:
                    if index in self._steps[consumer].hard:
                        work.append((consumer, _UPSTREAM, error, root))
                    else:
                        self._count_down(consumer)
        error = None  # what a fallback raised knows this frame
        if loose:
            self.let_go(loose)

    def _settle_failed(self, step: Step) -> None:
        index = step.index
        if self._started[index] is not None and self._ended[index] is None:
            self._ended[index] = self.clock()
        if step.users and index in self._waiting:
            self.ready.extend(self._waiting.pop(index))
        if step.is_goal:
            self.left = 0 if step.name in self._required else self.left - 1

    def _count_down(self, consumer: int) -> None:
        self._pending[consumer] -= 1
        if not self._pending[consumer]:
            self.ready.append(consumer)

    @ours
    def _fall_back(self, step: Step, error: BaseException | None) -> bool:
        """Let what stands by or the declared fallback stand in; False if there is none, or it raised.

        What it raised then is the node's failure.
        """
        index = step.index
        notes = self.record.notes.get(index)
        ready = notes.stand_in if isinstance(notes, Notes) else None
        if ready is None and step.fallback is MISSING:
            return False
        try:
            if ready is not None:
                stand_in = ready if isinstance(ready, StandIn) else ready(error)
                value = stand_in.value
                self.record.tell(index, stand_in.notes)
            else:
                value = step.fallback(error) if step.fallback_calls else step.fallback  # type: ignore[operator]
                value = value.value if isinstance(value, StandIn) else value
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as second:
            self._reasons[index] = caused(without_our_frames(second), error)
            return False
        if self._started[index] is not None and self._ended[index] is None:
            self._ended[index] = self.clock()
        self.give(step, _FALLBACK, value)
        return True

    def let_go(self, candidates: Iterable[int]) -> None:
        """Stop what was called for and can no longer help any goal; what may yet be called for goes on."""
        stack = list(candidates)
        while stack:
            index = stack.pop()
            if (
                self._status[index] is not None
                or self._pending[index] >= DEMANDED_BELOW
                or self._may_help(index)
            ):
                continue
            if index in self.running:
                self.stop(index)
                self._status[index] = _CANCELLED
                self._ended[index] = self.clock()
                continue
            step = self._steps[index]
            self._status[index] = _NOT_NEEDED
            stack.extend(step.dependencies)
            stack.extend(step.sides)

    def _may_help(self, index: int) -> bool:
        """True if some path of unsettled nodes, untaken sides left out, leads up to an unsettled goal."""
        seen = {index}
        stack = [index]
        while stack:
            each = stack.pop()
            step = self._steps[each]
            if step.is_goal:
                return True
            above = [user for user in step.users if self._may_take(user, each)]
            for consumer in (*step.consumers, *above):
                if self._status[consumer] is None and consumer not in seen:
                    seen.add(consumer)
                    stack.append(consumer)
        return False

    def _may_take(self, user: int, side: int) -> bool:
        step = self._steps[user]
        if step.kind == _BRANCH:
            return self._taken.get(user, side) == side
        return side in step.sides[self._position.get(user, 0) :]
