"""One lookup of many runs: the keys of all of them, asked for in as few calls as there may be.

A call that fails as a whole may have failed over one of its keys, and most of them are other runs'. So each
key is asked for once more, by itself, unless the error says that its source is away: what a run would be told
alone it is told here, and a bad key is bad for nobody but its own run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from contextvars import copy_context
from typing import Final, NamedTuple

from feature_graph.batching import Answer, readable_answer, unhashable
from feature_graph.deadline import current_call
from feature_graph.errors import BreakerOpen, Overloaded, TransientError
from feature_graph.guards import guarded
from feature_graph.node import Lookup
from feature_graph.scope import Notes, Scope, StandIn, current_scope

_OF_NO_KEY = (TransientError, Overloaded, BreakerOpen, OSError)  # a TimeoutError is an OSError
"""Errors that no key is to blame for."""
_NO_VALUES = (BaseException, StandIn)
"""What a batch may say of a key that is no observation of it."""


ONLY: Final = object()
"""The key of what is asked for once for all runs."""


class Asking(NamedTuple):
    """How a fetch is called: a lookup's batch, with the keys of many; any other one once."""

    name: str
    call: Callable[..., Awaitable[object]]
    max_keys: int
    once: bool = False


def asking_of(node: Lookup) -> Asking:
    """Of a lookup: in the same guards as in a run of its own."""
    return Asking(node.name, guarded(node.batch, node.options, node.name), node.options.max_keys or 1)


class Group:
    """Keys that are asked for with the same other arguments.

    Attributes:
        answers: of each key, once it is there.
        found: what a call that answered all of them gave, if each is a value and an observation: it is read
            instead of ``answers`` then.
        told: what the call told of itself; of one that is asked for once, what it has told so far.
        meanwhile: how the call failed in which a key was asked for that is being asked for once more.
    """

    __slots__ = ("answers", "found", "meanwhile", "others", "told", "until_s")

    def __init__(self, others: Sequence[object], until_s: float) -> None:
        self.others, self.until_s = others, until_s
        self.answers: dict[object, Answer | None] = {}
        self.found: Mapping[object, object] | None = None
        self.told: Mapping[str, object] | None = None
        self.meanwhile: dict[object, Answer] = {}

    def answer(self, key: object) -> Answer | None:
        """Of one key."""
        if self.found is not None:
            return Answer(self.found[key], notes=self.told or {})
        return self.answers[key]


class Asked:
    """What was asked at one step of all runs, and what has come of it; used once."""

    __slots__ = ("_asking", "_clock", "_ended", "_groups", "_left", "_loop", "_scope", "_tasks")

    def __init__(
        self,
        asking: Asking,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        ended: Callable[[object], None],
    ) -> None:
        """``ended`` is called whenever a call has."""
        self._asking, self._loop, self._clock, self._ended = asking, loop, clock, ended
        self._groups: dict[tuple[object, ...], Group] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._left = 0
        """Calls that have not ended."""
        self._scope = Scope()

    def group(self, others: Sequence[object], until_s: float, kind: type | None = None) -> Group:
        """For keys of one type that are asked for with ``others``, and waited for until then."""
        place = (kind, *map(id, others))
        group = self._groups.get(place)
        if group is None:
            group = self._groups[place] = Group(others, until_s)
        if until_s > group.until_s:
            group.until_s = until_s
        return group

    def want(self, keys: Sequence[object], group: Group) -> Sequence[object]:
        """Have ``keys`` asked for; under which keys the answers will be."""
        try:
            group.answers.update(dict.fromkeys(keys))
        except Exception:  # a key's own hash may raise anything
            return [self._want_one(key, group) for key in keys]
        return keys

    def _want_one(self, key: object, group: Group) -> object:
        """What no mapping can hold is answered at once, under a name of its own."""
        try:
            group.answers[key] = None
            return key
        except TypeError as error:
            bad: Exception = unhashable(self._asking.name, key, error)
        except Exception as error:
            bad = error
        name = object()
        group.answers[name] = Answer(error=bad)
        return name

    @property
    def once(self) -> bool:
        """Whether it is asked for once for all runs."""
        return self._asking.once

    def ask(self) -> None:
        """Ask for all of them."""
        most = self._asking.max_keys
        for group in self._groups.values():
            keys = [key for key, answer in group.answers.items() if answer is None]
            for start in range(0, len(keys), most):
                self._call(group, keys[start : start + most])

    def _call(self, group: Group, keys: list[object]) -> None:
        context, told = copy_context(), Notes()
        context.run(self._enter, group.until_s, told)
        call = self._run_once(group, told) if self._asking.once else self._run(group, keys, told)
        task = self._loop.create_task(call, context=context)
        task.add_done_callback(self._has_ended)
        self._tasks.append(task)
        self._left += 1

    def _enter(self, until_s: float, told: Notes) -> None:
        """What a call knows of itself; each tells by itself."""
        scope = self._scope
        scope.apart -= 1
        scope.notes[scope.apart] = told
        current_scope.set(scope)
        current_call.set((self._clock, until_s, scope.apart))

    def _has_ended(self, task: object) -> None:
        self._left -= 1
        self._ended(task)

    async def _run_once(self, group: Group, told: Notes) -> None:
        group.told = told
        try:
            value = await self._asking.call(*group.others)
            group.answers[ONLY] = Answer(value, notes=told)
            if type(value) is not StandIn:
                group.found = {ONLY: value}
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            inner = error.__traceback__
            if not self._scope.closed:
                group.answers[ONLY] = Answer(None, error, inner.tb_next if inner else None, told)
            _forget_our_frame(error)

    async def _run(self, group: Group, keys: list[object], told: Notes) -> None:
        try:
            found = await self._asking.call(list(keys), *group.others)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            found = error
        notes = {**told, "batch": len(keys)}
        if self._scope.closed:  # nobody waits
            pass
        elif len(keys) > 1 and _is_of_a_key(found):
            self._ask_apart(group, keys, found, notes)
        else:
            self._tell(group, keys, found, notes)
        if isinstance(found, BaseException):
            _forget_our_frame(found)
        del found

    def _tell(self, group: Group, keys: list[object], found: object, notes: Mapping[str, object]) -> None:
        if len(keys) == len(group.answers) and (plain := _plain(found, keys)) is not None:
            group.found, group.told = plain, notes
            return
        for key in keys:
            group.answers[key] = readable_answer(self._asking.name, key, found, notes)

    def _ask_apart(
        self, group: Group, keys: list[object], found: object, notes: Mapping[str, object]
    ) -> None:
        for key in keys:
            group.meanwhile[key] = readable_answer(self._asking.name, key, found, notes)
            self._call(group, [key])

    @property
    def is_under_way(self) -> bool:
        """Whether something may still come."""
        return self._left > 0

    def is_wanted(self, groups: Set[int]) -> bool:
        """Whether somebody waits for one of the groups; by their identities."""
        return not groups.isdisjoint(map(id, self._groups.values()))

    def is_over(self) -> None:
        """Nothing more will come: a call that was cancelled before it began never said anything."""
        for group in self._groups.values():
            for key, answer in group.answers.items() if group.found is None else ():
                if answer is None:
                    group.answers[key] = Answer(error=asyncio.CancelledError())

    def stop(self) -> list[tuple[str, asyncio.Task[None]]]:
        """Cancel what is under way, and what it has begun; it still has to be waited for."""
        scope = self._scope
        scope.closed = True
        if not self._left and not scope.adopted and scope.batches is None:
            return []
        begun = [(self._asking.name, task) for task in self._tasks] + scope.adopted
        scope.forget()
        alive = [one for one in begun if not one[1].done()]
        for _, task in alive:
            task.cancel()
        return alive


def _plain(found: object, keys: Sequence[object]) -> dict[object, object] | None:
    """What was found of them, if of all, and each is a value and an observation; the batch keeps its own."""
    if type(found) is not dict or not found.keys() >= {*keys}:
        return None
    plain = {key: found[key] for key in keys}
    return None if any(issubclass(kind, _NO_VALUES) for kind in {*map(type, plain.values())}) else plain


def _forget_our_frame(error: BaseException) -> None:
    """What it was raised to knows the groups, and they the error."""
    traceback = error.__traceback__
    BaseException.with_traceback(error, traceback.tb_next if traceback else None)


def _is_of_a_key(found: object) -> bool:
    """Whether one key may be why a call failed."""
    return isinstance(found, Exception) and not isinstance(found, _OF_NO_KEY)
