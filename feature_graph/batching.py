"""Many keys, one call: the keys that a run wants are gathered until nothing else in it can move.

A window of time would guess, and one of loop turns would split a batch as soon as half of its keys take a
turn more. A run knows its tasks: while one of them can move, another key may come.
(LinkedIn's ParSeq dispatches when a plan is deactivated, Facebook's Haxl when a round is blocked.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import Context, copy_context
from itertools import islice
from math import inf
from types import TracebackType
from typing import Any, NamedTuple

from feature_graph.deadline import Deadline, deadline_here, hurry
from feature_graph.errors import BadBatch, KeyMissing
from feature_graph.guards import guarded
from feature_graph.node import Lookup
from feature_graph.scope import Scope, StandIn, current_scope, note, tell_apart

PATIENCE_TURNS = 32
"""Turns of the loop that keys wait for a fetch that is always about to move, such as one that spins."""


class Answer(NamedTuple):
    """What a batch said of one key."""

    value: object = None
    error: BaseException | None = None
    traceback: TracebackType | None = None
    """Of the error when it came: the same error goes to many nodes, and must not grow with each."""
    notes: Mapping[str, object] = {}

    @property
    def is_plain(self) -> bool:
        """A value, and an observation."""
        return self.error is None and type(self.value) is not StandIn

    def read(self) -> object:
        """The value, or the error raised."""
        if self.error is not None:
            raise self.error.with_traceback(self.traceback)
        return self.value


Waiter = asyncio.Future[Answer]


def lookup_call(node: Lookup) -> Callable[..., Awaitable[object]]:
    """What a run calls for a lookup: ``await call(key, *others)``."""
    want = wanting(node)

    async def look_up(key: object, *others: object, **by_keyword: object) -> object:
        wanted = want((key,), others, by_keyword)
        try:
            answer = await wanted.waiters[0]
        finally:
            wanted.leave()
        note(**answer.notes)
        return answer.read()

    return look_up


class Wanted(NamedTuple):
    """Keys that one node asked for."""

    gathering: Gathering
    waiters: list[Waiter]
    """One a key, in order; each gets an :class:`Answer` and never an exception."""

    def leave(self) -> None:
        """Give up on those that have not come."""
        for waiter in self.waiters:
            waiter.cancel()  # who was cancelled while he awaited it has taken it along already
            self.gathering.left(waiter)


Want = Callable[[Iterable[object], tuple[object, ...], dict[str, object]], Wanted]


def wanting(node: Lookup) -> Want:
    """How a node asks its run for keys. Nodes with the same batch and the same edges ask together."""
    call = guarded(node.batch, node.options, node.name)
    identity = (node.batch, tuple(parameter.node for parameter in node.parameters[1:]))
    max_keys = node.options.max_keys or 1

    def want(keys: Iterable[object], others: tuple[object, ...], by_keyword: dict[str, object]) -> Wanted:
        scope = current_scope.get() or Scope()
        batches = scope.batches = scope.batches or Batches(scope)
        gathering = batches.gatherings.get(identity)
        if gathering is None:
            ask = _Ask(node.name, call, others, by_keyword, max_keys)
            gathering = batches.gatherings[identity] = Gathering(ask, batches)
        return Wanted(gathering, [gathering.want(key) for key in keys])

    return want


class _Ask(NamedTuple):
    """How a batch is called."""

    name: str
    call: Callable[..., Awaitable[object]]
    others: tuple[object, ...]
    by_keyword: dict[str, object]
    max_keys: int


class Batches:
    """All that one run gathers; asks when the run can move no further."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.loop = asyncio.get_running_loop()
        self.gatherings: dict[object, Gathering] = {}
        self._scheduled = False
        self._turns = 0

    def close(self) -> None:
        """The run is over: what it gathered knows the run, and would keep it until the collector came by."""
        for gathering in self.gatherings.values():
            gathering.close()
        self.gatherings.clear()

    def schedule(self) -> None:
        """Ask soon."""
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self.scope.closed:
            return
        if self._turns < PATIENCE_TURNS and self.scope.can_move():
            self._turns += 1
            self.loop.call_soon(self._flush)
            return
        self._scheduled, self._turns = False, 0
        for gathering in self.gatherings.values():
            gathering.dispatch()


class _Key:
    """One key on its way: who waits for it, and the call that asks for it."""

    __slots__ = ("answer", "call", "key", "waiters")

    def __init__(self, key: object) -> None:
        self.key = key
        self.waiters: dict[Waiter, None] = {}
        self.call: _Call | None = None
        self.answer: Answer | None = None


class _Call:
    """One call of the batch, under way."""

    __slots__ = ("keys", "task", "wanted")

    def __init__(self, keys: list[_Key]) -> None:
        self.keys = keys
        self.wanted = dict.fromkeys(keys)
        """Those that somebody waits for."""
        self.task: asyncio.Task[None] | None = None


class Gathering:
    """The keys of one batch in one run. A key is asked for once, whoever wants it and however often."""

    def __init__(self, ask: _Ask, batches: Batches) -> None:
        self._ask = ask
        self._batches = batches
        self._known: dict[object, _Key] = {}
        self._pending: dict[object, _Key] = {}
        self._of_waiter: dict[Waiter, _Key] = {}
        self._deadlines: list[Deadline | None] = []
        self._context: Context | None = None

    def want(self, key: object) -> Waiter:
        """A future of the answer; it is never given an exception."""
        waiter: Waiter = self._batches.loop.create_future()
        try:
            entry = self._known.get(key)
        except TypeError as error:
            waiter.set_result(Answer(error=unhashable(self._ask.name, key, error)))
            return waiter
        if entry is None:
            entry = self._known[key] = self._pending[key] = _Key(key)
            self._deadlines.append(deadline_here())
            self._context = self._context or copy_context()
            self._batches.schedule()
        if entry.answer is not None:
            waiter.set_result(entry.answer)
        else:
            entry.waiters[waiter] = None
            self._of_waiter[waiter] = entry
            if entry.call is not None:
                entry.call.wanted[entry] = None
        return waiter

    def left(self, waiter: Waiter) -> None:
        """A waiter is gone. What nobody waits for is not asked, and a call that nobody waits for is ended."""
        entry = self._of_waiter.pop(waiter, None)
        if entry is None:
            return
        del entry.waiters[waiter]
        if entry.waiters:
            return
        self._pending.pop(entry.key, None)
        call = entry.call
        if call is None:
            self._known.pop(entry.key, None)
            return
        call.wanted.pop(entry, None)
        if not call.wanted:
            for other in call.keys:
                self._known.pop(other.key, None)
            if call.task is not None:
                call.task.cancel()

    def close(self) -> None:
        """Know nothing any more."""
        self._known.clear()
        self._pending.clear()
        self._of_waiter.clear()

    def dispatch(self) -> None:
        """Ask for all keys that were gathered, in calls of at most ``max_keys``."""
        if not self._pending:
            return
        keys, self._pending = list(self._pending.values()), {}
        deadline, self._deadlines = _latest(self._deadlines), []
        context, self._context = self._context, None
        for chunk in _chunks(keys, self._ask.max_keys):
            call = _Call(chunk)
            for entry in chunk:
                entry.call = call
            run = self._run(chunk, deadline)
            task = call.task = self._batches.loop.create_task(run, context=context and context.copy())
            self._batches.scope.adopted.append((self._ask.name, task))

    async def _run(self, chunk: list[_Key], deadline: Deadline | None) -> None:
        hurry(*(deadline or (self._batches.loop.time, inf)))
        told = tell_apart()  # of each of its keys
        try:
            found = await self._ask.call(
                [entry.key for entry in chunk], *self._ask.others, **self._ask.by_keyword
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            found = error
        notes = {**told, "batch": len(chunk)}
        for entry in chunk:
            self._settle(entry, readable_answer(self._ask.name, entry.key, found, notes))
        del found  # an error holds this frame

    def _settle(self, entry: _Key, answer: Answer) -> None:
        if answer.error is None:
            entry.answer = answer
        else:
            self._known.pop(entry.key, None)
        waiters, entry.waiters, entry.call = entry.waiters, {}, None
        for waiter in waiters:
            self._of_waiter.pop(waiter, None)
            if not waiter.done():
                waiter.set_result(answer)


def readable_answer(name: str, key: object, found: object, notes: Mapping[str, object]) -> Answer:
    """What was found of a key; what it raises when it is read is that key's, for somebody waits for each."""
    try:
        return _answer(name, key, found, notes)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        inner = error.__traceback__
        return Answer(None, error, inner.tb_next if inner else None, notes)


def _answer(name: str, key: object, found: object, notes: Mapping[str, object]) -> Answer:
    if isinstance(found, BaseException):
        inner = found.__traceback__
        return Answer(None, found, inner.tb_next if inner else None, notes)
    if not isinstance(found, Mapping):
        kind = type(found).__name__
        return Answer(None, BadBatch(f"the batch {name!r} gave a {kind}; legal: a mapping of keys to values"))
    if key not in found:
        return Answer(None, KeyMissing(f"the batch {name!r} gave no value for the key {key!r}"), None, notes)
    value: Any = found[key]
    return (
        Answer(None, value, None, notes) if isinstance(value, BaseException) else Answer(value, notes=notes)
    )


def unhashable(name: str, key: object, error: TypeError) -> BadBatch:
    """What is wrong with a key that no mapping can hold."""
    bad = BadBatch(f"{name!r} looks up {key!r}, which cannot be the key of a mapping ({error})")
    bad.__cause__ = error
    return bad


def _latest(deadlines: Sequence[Deadline | None]) -> Deadline | None:
    """The last instant at which anybody still waits; None: somebody waits for ever."""
    known = [deadline for deadline in deadlines if deadline is not None]
    return max(known, key=lambda deadline: deadline[1]) if len(known) == len(deadlines) else None


def _chunks(keys: list[_Key], size: int) -> Iterator[list[_Key]]:
    rest = iter(keys)
    while chunk := list(islice(rest, size)):
        yield chunk
