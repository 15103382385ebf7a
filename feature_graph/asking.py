"""One lookup of many runs: the keys of all of them, asked for in as few calls as there may be.

A call that fails as a whole may have failed over one of its keys, and most of them are other runs'. So each
key is asked for once more, by itself, unless the error says that its source is away: what a run would be told
alone it is told here, and a bad key is bad for nobody but its own run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from contextvars import Context, copy_context
from typing import NamedTuple

from feature_graph.batching import Answer, readable_answer, unhashable
from feature_graph.deadline import current_call
from feature_graph.errors import BreakerOpen, Overloaded, TransientError
from feature_graph.guards import guarded
from feature_graph.node import Lookup
from feature_graph.scope import Scope, current_scope, tell_apart

_OF_NO_KEY = (TransientError, Overloaded, BreakerOpen, OSError)  # a TimeoutError is an OSError
"""Errors that no key is to blame for."""


class Asking(NamedTuple):
    """How a lookup's batch is called."""

    name: str
    call: Callable[..., Awaitable[object]]
    max_keys: int


def asking_of(node: Lookup) -> Asking:
    """Of a node: in the same guards as in a run of its own."""
    return Asking(node.name, guarded(node.batch, node.options, node.name), node.options.max_keys or 1)


class Group:
    """Keys that are asked for with the same other arguments."""

    __slots__ = ("answers", "meanwhile", "others", "until_s")

    def __init__(self, others: Sequence[object], until_s: float) -> None:
        self.others, self.until_s = others, until_s
        self.answers: dict[object, Answer | None] = {}
        self.meanwhile: dict[object, Answer] = {}
        """How the call failed in which a key was asked for that is being asked for once more."""


class Asked:
    """What was asked at one step of all runs, and what has come of it; used once."""

    __slots__ = ("_asking", "_clock", "_ended", "_groups", "_loop", "_scope", "_tasks")

    def __init__(
        self,
        asking: Asking,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        ended: Callable[[object], None],
    ) -> None:
        """``ended`` is called whenever a call has."""
        self._asking, self._loop, self._clock, self._ended = asking, loop, clock, ended
        self._groups: dict[tuple[int, ...], Group] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._scope = Scope()

    def want(self, key: object, others: Sequence[object], until_s: float) -> Group | Answer:
        """Have ``key`` asked for; the group in whose ``answers`` it will be, or the answer."""
        place = tuple(map(id, others))
        group = self._groups.get(place)
        if group is None:
            group = self._groups[place] = Group(others, until_s)
        if until_s > group.until_s:
            group.until_s = until_s
        try:
            group.answers[key] = None
        except TypeError as error:
            return Answer(error=unhashable(self._asking.name, key, error))
        return group

    def ask(self) -> None:
        """Ask for all of them."""
        most = self._asking.max_keys
        for group in self._groups.values():
            keys = list(group.answers)
            for start in range(0, len(keys), most):
                self._call(group, keys[start : start + most])

    def _call(self, group: Group, keys: list[object]) -> None:
        context = self._context(group.until_s)
        task = self._loop.create_task(self._run(group, keys), context=context)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _context(self, until_s: float) -> Context:
        context = copy_context()
        context.run(current_scope.set, self._scope)
        context.run(current_call.set, (self._clock, until_s, 0))
        return context

    async def _run(self, group: Group, keys: list[object]) -> None:
        told = tell_apart()
        try:
            found = await self._asking.call(list(keys), *group.others)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            found = error
        notes = {**told, "batch": len(keys)}
        if len(keys) > 1 and _is_of_a_key(found) and not self._scope.closed:
            self._ask_apart(group, keys, found, notes)
        else:
            self._tell(group, keys, found, notes)
        del found  # an error holds this frame

    def _tell(self, group: Group, keys: list[object], found: object, notes: Mapping[str, object]) -> None:
        for key in keys:
            value = found.get(key) if type(found) is dict else None
            if value is None or isinstance(value, BaseException):
                group.answers[key] = readable_answer(self._asking.name, key, found, notes)
            else:
                group.answers[key] = Answer(value, notes=notes)

    def _ask_apart(
        self, group: Group, keys: list[object], found: object, notes: Mapping[str, object]
    ) -> None:
        for key in keys:
            group.meanwhile[key] = readable_answer(self._asking.name, key, found, notes)
            self._call(group, [key])

    @property
    def is_under_way(self) -> bool:
        """Whether something may still come."""
        return not all(task.done() for task in self._tasks)

    def is_wanted(self, groups: Container[int]) -> bool:
        """Whether somebody waits for one of the groups; by their identities."""
        return any(id(group) in groups for group in self._groups.values())

    def is_over(self) -> None:
        """Nothing more will come: a call that was cancelled before it began never said anything."""
        for group in self._groups.values():
            for key, answer in group.answers.items():
                if answer is None:
                    group.answers[key] = Answer(error=asyncio.CancelledError())

    def stop(self) -> list[tuple[str, asyncio.Task[None]]]:
        """Cancel what is under way, and what it has begun; it still has to be waited for."""
        begun = [(self._asking.name, task) for task in self._tasks] + self._scope.adopted
        self._scope.closed = True
        self._scope.adopted = []
        alive = [one for one in begun if not one[1].done()]
        for _, task in alive:
            task.cancel()
        return alive


def _is_of_a_key(found: object) -> bool:
    """Whether one key may be why a call failed."""
    return isinstance(found, Exception) and not isinstance(found, _OF_NO_KEY)
