"""One lookup of many runs: the keys of all of them, asked for in as few calls as there may be.

A call that fails as a whole may have failed over one of its keys, and most of them are other runs'. So each
key is asked for once more, by itself, unless the error says that its source is away: what a run would be told
alone it is told here, and a bad key is bad for nobody but its own run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from feature_graph.batching import Answer, readable_answer, unhashable
from feature_graph.errors import BreakerOpen, Overloaded, TransientError
from feature_graph.guards import guarded
from feature_graph.node import Lookup
from feature_graph.scope import Notes, Scope, StandIn, enter

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
    alike: bool = False
    """Of a lookup: all runs ask with the same other arguments."""


def asking_of(node: Lookup, alike: bool) -> Asking:
    """Of a lookup: in the same guards as in a run of its own."""
    call = guarded(node.batch, node.options, node.name)
    return Asking(node.name, call, node.options.max_keys or 1, alike=alike)


class Asker(Protocol):
    """Who has questions."""

    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]

    def ended(self) -> None:
        """A call has."""


class Question:
    """Keys that are asked for with the same other arguments, and what has come of it; used once.

    Attributes:
        answers: of each key, once it is there.
        found: what a call that answered all of them gave, if each is a value and an observation: it is read
            instead of ``answers`` then.
        told: what the call told of itself; of one that is asked for once, what it has told so far.
        left: calls that have not ended: something may still come of them.
        meanwhile: how the call failed in which a key was asked for that is being asked for once more.
        until_s: until when somebody waits for it.
    """

    __slots__ = (
        "_asker",
        "_asking",
        "_others",
        "_scope",
        "_tasks",
        "answers",
        "found",
        "left",
        "meanwhile",
        "told",
        "until_s",
    )

    def __init__(self, asker: Asker, asking: Asking, others: Sequence[object], until_s: float) -> None:
        self._asker, self._asking, self._others, self.until_s = asker, asking, others, until_s
        self.answers: dict[object, Answer | None] = {}
        self.found: Mapping[object, object] | None = None
        self.told: Mapping[str, object] | None = None
        self.meanwhile: dict[object, Answer] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.left = 0
        self._scope = Scope()

    def answer(self, key: object) -> Answer | None:
        """Of one key."""
        if self.found is not None:
            return Answer(self.found[key], notes=self.told or {})
        return self.answers[key]

    def want(self, keys: Sequence[object]) -> Sequence[object]:
        """Have ``keys`` asked for; under which keys the answers will be."""
        try:
            if self.answers:
                self.answers.update(dict.fromkeys(keys))
            else:
                self.answers = dict.fromkeys(keys)
        except Exception:  # a key's own hash may raise anything
            return [self._want_one(key) for key in keys]
        return keys

    def _want_one(self, key: object) -> object:
        """What no mapping can hold is answered at once, under a name of its own."""
        try:
            self.answers[key] = None
            return key
        except TypeError as error:
            bad: Exception = unhashable(self._asking.name, key, error)
        except Exception as error:
            bad = error
        name = object()
        self.answers[name] = Answer(error=bad)
        return name

    def ask(self) -> None:
        """Ask for all of them."""
        most, keys = self._asking.max_keys, [*self.answers]
        if any(self.answers.values()):
            keys = [key for key in keys if self.answers[key] is None]
        for start in range(0, len(keys), most):
            self._call(keys[start : start + most])

    def _call(self, keys: list[object]) -> None:
        """What a call tells, it tells by itself."""
        told, run = Notes(), self._run_once if self._asking.once else self._run
        self._scope.apart -= 1
        self._scope.notes[self._scope.apart] = told
        task = self._asker.loop.create_task(run(keys, told, self._scope.apart))
        task.add_done_callback(self._has_ended)
        self._tasks.append(task)
        self.left += 1

    def _has_ended(self, _: object) -> None:
        self.left -= 1
        self._asker.ended()

    async def _run_once(self, _: list[object], told: Notes, apart: int) -> None:
        enter(self._scope, (self._asker.clock, self.until_s, apart))  # the task's context is its own
        self.told = told
        try:
            value = await self._asking.call(*self._others)
            self.answers[ONLY] = Answer(value, notes=told)
            if type(value) is not StandIn:
                self.found = {ONLY: value}
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            inner = error.__traceback__
            if not self._scope.closed:
                self.answers[ONLY] = Answer(None, error, inner.tb_next if inner else None, told)
            _forget_our_frame(error)

    async def _run(self, keys: list[object], told: Notes, apart: int) -> None:
        enter(self._scope, (self._asker.clock, self.until_s, apart))
        try:
            found = await self._asking.call(list(keys), *self._others)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            found = error
        notes = {**told, "batch": len(keys)}
        if self._scope.closed:  # nobody waits
            pass
        elif len(keys) == len(self.answers) and (plain := _plain(found, keys)) is not None:
            self.found, self.told = plain, notes
        elif len(keys) > 1 and _is_of_a_key(found):
            self._ask_apart(keys, found, notes)
        else:
            for key in keys:
                self.answers[key] = readable_answer(self._asking.name, key, found, notes)
        if isinstance(found, BaseException):
            _forget_our_frame(found)
        del found

    def _ask_apart(self, keys: list[object], found: object, notes: Mapping[str, object]) -> None:
        for key in keys:
            self.meanwhile[key] = readable_answer(self._asking.name, key, found, notes)
            self._call([key])

    def is_over(self) -> None:
        """Nothing more will come: a call that was cancelled before it began never said anything."""
        for key, answer in self.answers.items() if self.found is None else ():
            if answer is None:
                self.answers[key] = Answer(error=asyncio.CancelledError())

    def stop(self) -> list[tuple[str, asyncio.Task[None]]]:
        """Cancel what is under way, and what it has begun; it still has to be waited for."""
        scope = self._scope
        scope.closed = True
        if not self.left and not scope.adopted and scope.batches is None:
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
    plain = dict(zip(keys, map(found.__getitem__, keys), strict=True))
    for kind in {*map(type, plain.values())}:
        if issubclass(kind, _NO_VALUES):
            return None
    return plain


def _forget_our_frame(error: BaseException) -> None:
    """What it was raised to knows the groups, and they the error."""
    traceback = error.__traceback__
    BaseException.with_traceback(error, traceback.tb_next if traceback else None)


def _is_of_a_key(found: object) -> bool:
    """Whether one key may be why a call failed."""
    return isinstance(found, Exception) and not isinstance(found, _OF_NO_KEY)
