"""Which node of a Redis or Valkey Cluster owns which slot, and which key of a command says so.

The address is ``redis+cluster://[user:password@]host:port[,host:port…][?replicas=1&wait_ms=100]``, or
``rediss+cluster://`` for TLS, with the library's own ``ssl_…`` options. Any node that answers tells of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterCrossSlotError, ClusterDownError, TryAgainError
from redis.exceptions import ConnectionError as StoreConnectionError

from sidecar.contracts.errors import BadSettings
from sidecar.contracts.store_address import without_password

SCHEMES = ("redis+cluster", "rediss+cluster")
DEFAULT_WAIT_MS = 100
DEFAULT_PORT = 6379
MOVES = 5
"""How often a command is sent elsewhere before its caller is told that the slot is on the move."""
Word = Any
"""Of a command: what the client library takes."""
Reply = Any
"""To a command: what the client library makes of it."""
_KEY_AFTER_COUNT = frozenset({"EVAL", "EVALSHA"})
_KEY_AFTER_STREAMS = frozenset({"XREAD", "XREADGROUP"})
_KEYLESS = frozenset(
    {"CLUSTER", "CONFIG", "DBSIZE", "FLUSHALL", "INFO", "PING", "SCRIPT", "TIME", "UNWATCH", "WAIT"}
)


class Node(NamedTuple):
    """Where one server listens."""

    host: str
    port: int


class SlotMoving(StoreConnectionError):
    """Nobody answers for a slot just now: a failover or a migration. Nothing was done; ask again later."""


class NotReplicated(StoreConnectionError):
    """A write was done by its primary, and too few replicas said in time that they have it. Ask again."""


class ClusterAddress(NamedTuple):
    """What an address says."""

    seeds: tuple[Node, ...]
    prefix: str
    """Of a node's address: scheme and credentials."""
    suffix: str = ""
    """Of a node's address: the options that are the library's."""
    replicas: int = 0
    """How many replicas must have a script's writes before its caller hears of them."""
    wait_ms: int = DEFAULT_WAIT_MS
    """How long they may take."""

    def url_of(self, node: Node) -> str:
        """The address of one node."""
        host = f"[{node.host}]" if ":" in node.host else node.host
        return f"{self.prefix}{host}:{node.port}{self.suffix}"


def parse_address(url: str) -> ClusterAddress | None:
    """The cluster at ``url``; None if it is no cluster's address.

    Raises:
        BadSettings: no node is named, or an option is not known.

    >>> parse_address("redis+cluster://a:7000,b?replicas=1").seeds
    (Node(host='a', port=7000), Node(host='b', port=6379))
    >>> parse_address("redis://a:7000")
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        return None
    credentials, at, hosts = parts.netloc.rpartition("@")
    try:
        seeds = tuple(_node(word) for word in hosts.split(","))
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        theirs = {name: value for name, value in options.items() if name.startswith("ssl_")}
        ours = {name: int(value) for name, value in options.items() if name not in theirs}
        suffix = f"?{urlencode(theirs)}" if theirs else ""
        scheme = parts.scheme.removesuffix("+cluster")
        return ClusterAddress(seeds, f"{scheme}://{credentials}{at}", suffix, **_known(ours))
    except ValueError as error:
        raise BadSettings(
            f"{without_password(url)!r}: {error}; "
            "an address is redis+cluster://host:port,host:port?replicas=1&wait_ms=100"
        ) from error


class SlotMap:
    """The owners as they were last told; belongs to one client.

    Args:
        seeds: whom to ask as long as nobody is known.
    """

    def __init__(self, seeds: Sequence[Node]) -> None:
        self.is_current = False
        """Whether it was told since something last failed."""
        self._seeds, self._owners, self._failed = tuple(seeds), cast("dict[int, Node]", {}), Node("", 0)

    def owner(self, slot: int | None) -> Node:
        """Of a slot; without one, any primary, the same each time.

        Raises:
            SlotMoving: none is known.
        """
        found = self._owners.get(slot) if slot is not None else next(iter(self._owners.values()), None)
        if found is None:
            raise SlotMoving(f"no node of the cluster owns slot {slot}")
        return found

    def primaries(self) -> list[Node]:
        """All of them."""
        return sorted(set(self._owners.values()))

    def to_ask(self) -> list[Node]:
        """Whom to ask for the owners: who failed last comes last."""
        known = dict.fromkeys([*self.primaries(), *self._seeds])
        return sorted(known, key=lambda node: node == self._failed)

    def learn(self, slots: Sequence[Any], asked: Node) -> None:
        """The reply to ``CLUSTER SLOTS``, which may leave out the host of the node that was asked.

        >>> told, replica = SlotMap([]), [b"r", 7001, b"id"]
        >>> told.learn([[0, 1, [b"", 7000, b"id"], replica], [2, 2, [b"b", 7002, b"id"]]], Node("a", 1))
        >>> told.owner(1), told.owner(2)
        (Node(host='a', port=7000), Node(host='b', port=7002))
        """
        owners: dict[int, Node] = {}
        for first, last, primary, *_ in slots:
            node = Node((primary[0] or b"").decode() or asked.host, int(primary[1]))
            owners.update(dict.fromkeys(range(int(first), int(last) + 1), node))
        self._owners, self.is_current = owners, True

    def move(self, slot: int, node: Node) -> None:
        """A node said that another owns the slot; there may be more to learn."""
        self._owners[slot] = node
        self.is_current = False

    def doubt(self, failed: Node) -> None:
        """A node does not answer: it may have been replaced."""
        self._failed, self.is_current = failed, False


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


def _node(word: str) -> Node:
    parts = urlsplit(f"//{word}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return Node(parts.hostname, parts.port or DEFAULT_PORT)


def _known(options: dict[str, int]) -> dict[str, int]:
    if unknown := sorted(set(options) - {"replicas", "wait_ms"}):
        raise ValueError(f"{unknown[0]} is no option")
    if not 0 <= options.get("replicas", 0) <= 10 or not 1 <= options.get("wait_ms", 1) <= 10_000:
        raise ValueError("replicas must be 0 to 10 and wait_ms 1 to 10000")
    return options
