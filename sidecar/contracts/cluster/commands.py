"""What a cluster makes of commands: whose slot each is for, and what its replies mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterCrossSlotError, ClusterDownError, TryAgainError
from redis.exceptions import ConnectionError as StoreConnectionError

from sidecar.contracts.cluster.address import Node

Word = Any
"""Of a command: what the client library takes."""
Reply = Any
"""To a command: what the client library makes of it."""
_KEY_AFTER_COUNT = frozenset({"EVAL", "EVALSHA"})
_KEY_AFTER_STREAMS = frozenset({"XREAD", "XREADGROUP"})
_KEYLESS = frozenset(
    {"CLUSTER", "CONFIG", "DBSIZE", "FLUSHALL", "INFO", "PING", "SCRIPT", "TIME", "UNWATCH", "WAIT"}
)


class NotReplicated(StoreConnectionError):
    """A write was done by its primary, and too few replicas said in time that they have it. Ask again."""


def slot_of(command: Sequence[Any]) -> int | None:
    """The slot of a command's first key; None if it has no key.

    >>> slot_of(("GET", "{a.1}:x")) == slot_of(("EVALSHA", "sha", 1, "{a.1}:y", "arg"))
    True
    >>> slot_of(("XREAD", "COUNT", 1, "STREAMS", "{a.1}:z", "0")) == slot_of(("GET", "{a.1}:x"))
    True
    >>> slot_of(("CONFIG GET", "maxmemory"))
    """
    name = _text(command[0]).upper()
    if name.partition(" ")[0] in _KEYLESS:
        return None
    if name in _KEY_AFTER_COUNT:
        return _slot(command[3]) if int(command[2]) else None
    if name in _KEY_AFTER_STREAMS:
        streams = [_text(word) for word in command].index("STREAMS")
        return _slot(command[streams + 1])
    return _slot(command[1]) if len(command) > 1 else None


def is_redirect(reply: object) -> bool:
    """Whether the node did nothing and says that another may."""
    return isinstance(reply, AskError | TryAgainError | ClusterDownError)


def check_replicas(acknowledged: object, wanted: int) -> None:
    """Raises ``NotReplicated`` if too few have it; an error in place of their number is raised as it is."""
    if isinstance(acknowledged, Exception):
        raise acknowledged
    if wanted and int(acknowledged) < wanted:  # type: ignore[call-overload]
        raise NotReplicated(f"{acknowledged} of {wanted} replicas have it")


def places_of(
    commands: Sequence[Sequence[Any]], owner: Callable[[int | None], Node]
) -> dict[Node, list[int]]:
    """Commands by node, as their places; one without a key goes where the first with one goes."""
    slots = [slot_of(command) for command in commands]
    first = next((slot for slot in slots if slot is not None), None)
    places: dict[Node, list[int]] = {}
    for place, slot in enumerate(slots):
        places.setdefault(owner(first if slot is None else slot), []).append(place)
    return places


def slot_of_all(commands: Iterable[Sequence[Any]]) -> int | None:
    """The slot of a transaction; None if no command has a key.

    Raises:
        ClusterCrossSlotError: there are several, so that no node could do it.

    >>> slot_of_all([("TIME",), ("GET", "{a}:x"), ("GET", "{a}:y")]) == slot_of(("GET", "{a}"))
    True
    """
    slots = {slot for command in commands if (slot := slot_of(command)) is not None}
    if len(slots) > 1:
        raise ClusterCrossSlotError(f"a transaction over {len(slots)} slots of a cluster: it needs one")
    return next(iter(slots), None)


def writes(commands: Iterable[Sequence[Any]]) -> bool:
    """Whether there is a script among them: all that must not be lost is written by one."""
    return any(command[0] == "EVALSHA" for command in commands)


def _slot(key: str | bytes) -> int:
    return key_slot(key.encode() if isinstance(key, str) else key)


def _text(word: object) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)
