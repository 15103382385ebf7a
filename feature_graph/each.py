"""One call an element, a list in the order of the elements; what has no value takes the body's fallback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from copy import copy
from itertools import repeat
from typing import Any

from feature_graph.batching import Answer, readable_answer, wanting
from feature_graph.deadline import current_call, hurry, remaining
from feature_graph.errors import ElementFailed, FetchCancelled, FetchTimedOut
from feature_graph.guards import guarded
from feature_graph.guards.ending import is_cancelled
from feature_graph.node import MISSING, Derived, Each, Fetch, Lookup
from feature_graph.reasons import can_be_awaited, message_of, not_a_value, plain_types
from feature_graph.scope import Notes, StandIn, adopt, note, stand_by, tell_apart

Call = Callable[..., Any]
Work = Callable[[], Awaitable[None]]
_THROUGH = (KeyboardInterrupt, SystemExit, asyncio.CancelledError)
"""What no element keeps to itself."""


def each_call(node: Each) -> Call:
    """What a run calls: ``call(elements, *others)``; async unless the body is derived."""
    if isinstance(node.body, Derived):
        return _over_derived(node, node.body)
    return _over_lookup(node, node.body) if isinstance(node.body, Lookup) else _over_fetch(node, node.body)


def each_late(node: Each) -> Callable[..., StandIn] | None:
    """``late(error, elements)``: the list of a run that has no time left to begin; None if there is none."""
    body = node.body
    if isinstance(body, Derived) or body.fallback is MISSING:
        return None

    def late(error: BaseException, elements: object) -> StandIn:
        return Answers(node.name, body, len(sequence_of(node, elements))).with_fallbacks(error)

    return late


def _over_derived(node: Each, body: Derived) -> Call:
    call, plain = _with_element(node, body.function), _is_first(node)

    def every(elements: object, *others: object, **by_keyword: object) -> list[object]:
        values: list[object] = []
        wanted = elements if type(elements) is tuple else sequence_of(node, elements)
        try:
            if plain and not by_keyword:  # what was done before one failed is kept: see where that was
                values.extend(map(body.function, wanted, *map(repeat, others)))
                if len(values) < len(wanted):  # it raised what ends a list's source
                    raise StopIteration
            else:
                values.extend(call(element, others, by_keyword) for element in wanted)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise element_failed(node.name, len(values), error) from error
        if not plain_types.issuperset(map(type, values)):
            _refuse_awaitables(node, values)
        return values

    return every


def _refuse_awaitables(node: Each, values: list[object]) -> None:
    refused = [(place, value) for place, value in enumerate(values) if can_be_awaited(value)]
    if refused:
        errors = [not_a_value(node.name, value) for _, value in refused]  # each closes what it is about
        raise element_failed(node.name, refused[0][0], errors[0]) from errors[0]


def _over_fetch(node: Each, body: Fetch) -> Call:
    call = _with_element(node, body.call)

    async def every(elements: object, *others: object, **by_keyword: object) -> object:
        wanted = sequence_of(node, elements)
        answers = _answers(node, body, len(wanted))
        todo = enumerate(wanted)

        async def work() -> None:
            for position, element in todo:
                answers.begin(position, tell_apart())
                try:
                    value = await _in_time(body, call(element, others, by_keyword))
                except _THROUGH:
                    raise
                except BaseException as error:
                    answers.fail(position, error)
                else:
                    answers.give(position, value)
                if is_cancelled():  # whatever the fetch made of it
                    return

        while answers.missing:
            await _together(node.name, work, min(node.max_in_flight, len(answers.missing)))
            answers.fail_interrupted()
        note(**answers.told)
        return answers.all()

    return every


def _over_lookup(node: Each, body: Lookup) -> Call:
    want = wanting(body)

    async def every(keys: object, *others: object, **by_keyword: object) -> object:
        loop = asyncio.get_running_loop()
        wanted = want(sequence_of(node, keys), others, by_keyword)
        answers = _answers(node, body, len(wanted.waiters))
        timer = None if body.timeout_s is None else loop.call_later(body.timeout_s, wanted.leave)
        try:
            for position, waiter in enumerate(wanted.waiters):
                if not waiter.done():
                    await asyncio.wait((waiter,))
                try:
                    answers.give(position, _late(body) if waiter.cancelled() else _read(waiter.result()))
                except _THROUGH:
                    raise
                except BaseException as error:
                    answers.fail(position, error)
        finally:
            wanted.leave()
            if timer is not None:
                timer.cancel()
        return answers.all()

    return every


def each_once(node: Each, body: Lookup) -> Call:
    """What is called for a list that many runs want once: nobody's keys are gathered with its own."""
    gathered, call = _over_lookup(node, body), guarded(body.batch, body.options, body.name)

    async def every(keys: object, *others: object) -> object:
        wanted = sequence_of(node, keys)
        try:
            unique = [*dict.fromkeys(wanted)]
        except TypeError:  # no key of a mapping
            return await gathered(wanted, *others)
        if len(unique) > (body.options.max_keys or 1):
            return await gathered(wanted, *others)
        answers = _answers(node, body, len(wanted))
        tell_apart()  # what the batch tells is of its call
        found = await _in_one_call(body, call(unique, *others)) if unique else {}
        for position, key in enumerate(wanted):
            try:
                answers.give(position, _read(readable_answer(body.name, key, found, {})))
            except _THROUGH:
                raise
            except BaseException as error:
                answers.fail(position, error)
        return answers.all()

    return every


async def _in_one_call(body: Lookup, call: Awaitable[object]) -> object:
    """What a batch gave, or why it gave nothing."""
    limit = _Limit(body.timeout_s)
    try:
        try:
            return await call
        finally:
            limit.off()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if is_cancelled():
            raise
        if limit.expired:
            return FetchTimedOut(f"{body.name!r} took longer than {body.timeout_s} s")
        return error


class _Limit:
    """As much of ``asyncio.timeout`` as one call in a task of its own needs: it costs a third."""

    __slots__ = ("_task", "_timer", "expired")

    def __init__(self, timeout_s: float | None) -> None:
        self._task, self.expired = asyncio.current_task(), False
        loop = asyncio.get_running_loop()
        self._timer = None if timeout_s is None else loop.call_later(timeout_s, self._expire)

    def _expire(self) -> None:
        assert self._task is not None
        self.expired = True
        self._task.cancel()

    def off(self) -> None:
        """The call has ended; if the limit cancelled its task, nobody else did by that."""
        if self._timer is not None:
            self._timer.cancel()
        if self.expired and self._task is not None:
            self._task.uncancel()
        self._task = self._timer = None  # they know one another


def _answers(node: Each, body: Fetch | Lookup, count: int) -> Answers:
    """Where the values go; what has come when the time is up is used, if the body has a fallback."""
    answers = Answers(node.name, body, count)
    note(elements=count)
    if body.fallback is not MISSING or body.options.cache is not None:
        stand_by(answers.with_fallbacks)
    return answers


class Answers:
    """The elements' values as they come."""

    def __init__(self, name: str, body: Fetch | Lookup, count: int) -> None:
        self._name = name
        self._body = body
        self._values: list[object] = [MISSING] * count
        self._reasons: dict[int, BaseException | None] = {}
        self._notes: dict[int, Notes] = {}

    @property
    def missing(self) -> list[int]:
        """Positions without a value."""
        return [position for position, value in enumerate(self._values) if value is MISSING]

    def fail_interrupted(self) -> None:
        """Elements that were begun and took their own task down."""
        for position in self.missing:
            if position in self._notes:
                self.fail(position, FetchCancelled("an element cancelled itself"))

    def begin(self, position: int, notes: Notes) -> None:
        """An element is fetched, and tells there what it has to tell."""
        self._notes[position] = notes

    def give(self, position: int, value: object) -> None:
        """An element has its value."""
        if isinstance(value, StandIn):
            self._reasons[position] = value.reason
            value = value.value
        self._values[position] = value

    def fail(self, position: int, error: BaseException) -> None:
        """An element has none: what stands by for it, the fallback, or :class:`ElementFailed`."""
        notes = self._notes.get(position)
        ready = None if notes is None else notes.stand_in
        if ready is not None:
            self._values[position] = (ready if isinstance(ready, StandIn) else ready(error)).value
        elif self._body.fallback is not MISSING:
            self._values[position] = self._fallback(error)
        else:
            raise element_failed(self._name, position, error) from error
        self._reasons[position] = error

    def all(self) -> object:
        """The list, as a stand-in if some of it is."""
        if not self._reasons:
            return self._values
        return StandIn(self._values, self._reasons[min(self._reasons)], self._fallen_back())

    def with_fallbacks(self, error: BaseException | None) -> StandIn:
        """What is there now, and fallbacks for the rest; others may have time for more."""
        late = error or FetchTimedOut(f"{self._name!r} was not complete")
        now = copy(self)
        now._values, now._reasons = list(self._values), dict(self._reasons)
        for position in now.missing:
            now.fail(position, late)
        return StandIn(now._values, error, {**now.told, **now._fallen_back()})

    @property
    def told(self) -> dict[str, object]:
        """What the elements told of themselves; of two who told the same, the later in the list."""
        return {
            name: fact for position in sorted(self._notes) for name, fact in self._notes[position].items()
        }

    def _fallen_back(self) -> dict[str, object]:
        """How many elements fell back, and which: not all of the list is a stand-in."""
        return {
            "elements": len(self._values),
            "fallbacks": len(self._reasons),
            "fallback_at": tuple(sorted(self._reasons)),
        }

    def _fallback(self, error: BaseException) -> object:
        fallback: Any = self._body.fallback
        value = fallback(error) if self._body.fallback_calls else fallback
        return value.value if isinstance(value, StandIn) else value


def sequence_of(node: Each, elements: object) -> list[object]:
    """The elements, or a :class:`TypeError` that says what is legal.

    An iterator is not: its first reader would leave nothing to the second.
    """
    if type(elements) is list or type(elements) is tuple:  # as nearly always, and told at once
        return [*elements]
    if isinstance(elements, str | bytes | Iterator) or not isinstance(elements, Iterable):
        over = node.parameters[0].node
        raise TypeError(f"{node.name!r} goes over {over!r}, a {type(elements).__name__}; legal: a sequence")
    return list(elements)


def element_failed(name: str, position: int, error: BaseException | None) -> ElementFailed:
    """The failure of a list by one of its elements."""
    why = "" if error is None else message_of(error)
    failed = ElementFailed(f"element {position} of {name!r}: {type(error).__name__}: {why}", position)
    failed.__cause__ = error
    return failed


def _with_element(
    node: Each, function: Call
) -> Callable[[object, tuple[object, ...], dict[str, object]], Any]:
    """The function called with an element and the other arguments, each where it belongs."""
    by_position = [each.name for each in _in_order(node) if not each.keyword_only]
    if node.element not in by_position:
        return lambda element, others, by_keyword: function(*others, **{node.element: element}, **by_keyword)
    at = by_position.index(node.element)
    return lambda element, others, by_keyword: function(*others[:at], element, *others[at:], **by_keyword)


def _is_first(node: Each) -> bool:
    """Whether an element is the first positional argument of the function: no place must be found for it."""
    by_position = [each.name for each in _in_order(node) if not each.keyword_only]
    return by_position[:1] == [node.element]


def _in_order(node: Each) -> Iterator[Any]:
    return iter(node.body.parameters)


async def _in_time(body: Fetch, call: Awaitable[object]) -> object:
    """One element inside the body's own timeout."""
    if body.timeout_s is None:
        return await _own(call)
    clock, left_s = asyncio.get_running_loop().time, remaining()
    token = hurry(clock, clock() + (body.timeout_s if left_s is None else min(body.timeout_s, left_s)))
    limit = asyncio.timeout(body.timeout_s)
    try:
        async with limit:
            return await _own(call)
    except TimeoutError as error:
        if limit.expired():
            raise FetchTimedOut(f"{body.name!r} took longer than {body.timeout_s} s") from error
        raise
    finally:
        current_call.reset(token)


async def _own(call: Awaitable[object]) -> object:
    """A fetch that raises a cancellation of its own has failed; one of its task goes on."""
    try:
        return await call
    except asyncio.CancelledError as cancelled:
        if is_cancelled():
            raise
        raise FetchCancelled("an element cancelled itself") from cancelled


async def _together(name: str, work: Work, workers: int) -> None:
    """Let so many work to their end; the first that fails ends the others and is raised."""
    lost: list[BaseException] = []
    tasks = [asyncio.ensure_future(_caught(work, lost)) for _ in range(workers)]
    for task in tasks:
        adopt(name, task)
    pending = set(tasks)
    try:
        while pending and not lost:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    if lost:
        error = lost[0]
        lost.clear()
        try:
            raise error
        finally:
            del error  # its traceback holds this frame


async def _caught(work: Work, lost: list[BaseException]) -> None:
    """What a task ends with it keeps, and on 3.12 the frames of the error know the task."""
    try:
        await work()
    except _THROUGH:
        raise
    except BaseException as error:
        if not is_cancelled():  # else nobody asks any more
            lost.append(error)


def _read(answer: Answer) -> object:
    """The value; a batch that cancelled itself has failed its elements, and cancels nobody."""
    if isinstance(answer.error, asyncio.CancelledError):
        raise FetchCancelled("the batch cancelled itself") from answer.error
    return answer.read()


def _late(body: Lookup) -> object:
    raise FetchTimedOut(f"{body.name!r} took longer than {body.timeout_s} s")
