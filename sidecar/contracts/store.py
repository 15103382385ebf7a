"""Connections to the store that are safe on a request path, and the scripts registered on them.

The client library's defaults are not: a black-holed server blocks one command for a minute, and a write whose
reply was lost is sent again. Here nothing is ever retried below the caller, who knows what may be repeated:
the scripts, since they recognise a repetition, and reads. A pool that is exhausted makes its caller wait for
50 ms, not fail at once and not queue for ever.

Addresses: ``redis://``, ``rediss://``, ``unix://`` with an absolute or a relative path, and for a cluster
``redis+cluster://`` and ``rediss+cluster://`` (``cluster/``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript, Script
from redis.exceptions import NoScriptError
from redis.retry import Retry

from sidecar.contracts.books import clock_of
from sidecar.contracts.cluster.address import parse_address
from sidecar.contracts.cluster.async_client import AsyncClusterClient
from sidecar.contracts.cluster.client import ClusterClient
from sidecar.contracts.cluster.lines import ClusterLines
from sidecar.contracts.keys import Keys, epoch
from sidecar.contracts.line import Heard
from sidecar.contracts.lines import Command, Lines
from sidecar.contracts.scripts.call import NAMES, Call, script_text
from sidecar.contracts.store_address import checked_address

StoreError = redis.RedisError
"""Root of what goes wrong on the way to the store or in it."""
WatchError = redis.WatchError
"""Watched keys changed: nothing was done."""
AsyncClient = redis.asyncio.Redis
"""What :func:`connect_async` gives."""
AnyLines = Lines | ClusterLines
"""What :func:`lines_of` gives."""
Client = redis.Redis
"""What :func:`connect` gives; the other contracts know it by this name only."""

DECIDE_TIMEOUT_S = 0.25
"""Five times the default deadline of a request: a durable write waits for the disk, and its caller has long
answered from the backstop by the time that this says the store is away."""
WORK_TIMEOUT_S = 5.0
"""For who has time: learner, archiver, command line."""
READ_SLACK_S = 2.0
"""What a blocking read may take beyond its BLOCK."""
POOL_WAIT_S = 0.05


def connect_async(
    url: str, *, timeout_s: float = DECIDE_TIMEOUT_S, max_connections: int = 32
) -> redis.asyncio.Redis:
    """A client for an event loop; close it with ``aclose()``. Connects when first used.

    Raises:
        BadSettings: ``url`` is no address of a store.
    """
    settings = _settings(timeout_s, max_connections, redis.asyncio.retry.Retry(NoBackoff(), 0))
    if address := parse_address(url):
        return AsyncClusterClient(
            address, lambda node: redis.asyncio.BlockingConnectionPool.from_url(node, **settings)
        )
    if path := _relative_path(url):
        pool = redis.asyncio.BlockingConnectionPool(
            connection_class=redis.asyncio.UnixDomainSocketConnection, path=path, **settings
        )
    else:
        pool = redis.asyncio.BlockingConnectionPool.from_url(checked_address(url), **settings)
    return redis.asyncio.Redis.from_pool(pool)


def connect_reader_async(url: str, *, block_s: float) -> redis.asyncio.Redis:
    """A client for reads that block for up to ``block_s``: its timeout is longer than that."""
    return connect_async(url, timeout_s=block_s + READ_SLACK_S, max_connections=4)


def connect(url: str, *, timeout_s: float = WORK_TIMEOUT_S, max_connections: int = 8) -> redis.Redis:
    """A client for a thread; close it with ``close()``. Connects when first used.

    Raises:
        BadSettings: ``url`` is no address of a store.
    """
    settings = _settings(timeout_s, max_connections, Retry(NoBackoff(), 0))
    if address := parse_address(url):
        return ClusterClient(address, lambda node: redis.BlockingConnectionPool.from_url(node, **settings))
    if path := _relative_path(url):
        pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
            connection_class=redis.UnixDomainSocketConnection, path=path, **settings
        )
    else:
        pool = redis.BlockingConnectionPool.from_url(checked_address(url), **settings)
    return redis.Redis.from_pool(pool)


def is_cluster(client: redis.Redis) -> bool:
    """Whether what has keys on several slots happens in several steps."""
    return isinstance(client, ClusterClient)


def connect_reader(url: str, *, block_s: float) -> redis.Redis:
    """A client for reads that block for up to ``block_s``: its timeout is longer than that."""
    return connect(url, timeout_s=block_s + READ_SLACK_S, max_connections=4)


def lines_of(client: redis.asyncio.Redis) -> AnyLines:
    """Conversations over the client's connections, which it closes in the end."""
    return ClusterLines(client) if isinstance(client, AsyncClusterClient) else Lines(client.connection_pool)


@dataclass(frozen=True)
class AsyncScripts:
    """The scripts on one asynchronous client. A store that has forgotten them is told again, unseen."""

    client: redis.asyncio.Redis
    by_name: Mapping[str, AsyncScript]
    lines: AnyLines

    @classmethod
    def on(cls, client: redis.asyncio.Redis) -> AsyncScripts:
        """Register them; asks nothing of the store yet."""
        by_name = {name: client.register_script(script_text(name)) for name in NAMES}
        return cls(client, by_name, lines_of(client))

    async def run(self, call: Call) -> Any:  # noqa: ANN401 - the parser beside each script gives it its type
        """Send a call and return the raw reply."""
        return await self.by_name[call.script](keys=call.keys, args=call.args)

    async def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """Send several calls in one round trip; the raw reply to each, or the error that it is.

        They are no transaction. A store that has forgotten a script is told again, unseen.
        """
        return await self.retold(calls, await self.lines.talk(self._commands(calls)))

    def ask_all(self, calls: Sequence[Call], heard: Heard) -> None:
        """The same for who is told and does not wait, with :meth:`retold` left to them."""
        self.lines.ask(self._commands(calls), heard)

    async def retold(self, calls: Sequence[Call], replies: Sequence[object]) -> list[Any]:
        """The replies, with those of a store that has forgotten a script, which is told again."""
        return [
            await self.run(call) if isinstance(reply, NoScriptError) else reply
            for call, reply in zip(calls, replies, strict=True)
        ]

    def _commands(self, calls: Sequence[Call]) -> list[Command]:
        return [
            ("EVALSHA", self.by_name[call.script].sha, len(call.keys), *call.keys, *call.args)
            for call in calls
        ]


@dataclass(frozen=True)
class Scripts:
    """The scripts on one synchronous client. A store that has forgotten them is told again, unseen."""

    client: redis.Redis
    by_name: Mapping[str, Script]

    @classmethod
    def on(cls, client: redis.Redis) -> Scripts:
        """Register them; asks nothing of the store yet."""
        return cls(client, {name: client.register_script(script_text(name)) for name in NAMES})

    def run(self, call: Call) -> Any:  # noqa: ANN401 - the parser beside each script gives it its type
        """Send a call and return the raw reply."""
        return self.by_name[call.script](keys=call.keys, args=call.args)

    def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """Send several calls in one round trip; the raw reply to each. All were run when this raises.

        They are no transaction. A store that has forgotten a script is told again, unseen.
        """
        pipe = self.client.pipeline(transaction=False)
        for call in calls:
            pipe.evalsha(self.by_name[call.script].sha, len(call.keys), *call.keys, *call.args)
        return self._checked(calls, pipe.execute(raise_on_error=False))

    def run_in_turn(self, groups: Iterable[Sequence[Call]]) -> Iterator[list[Any]]:
        """The same for groups of calls, each sent before the replies to the one before it are awaited.

        So the store works while the next one is made. A cluster's client has each done before the next.
        """
        if type(self.client) is not redis.Redis:
            yield from map(self.run_all, groups)
            return
        under_way: list[tuple[Sequence[Call], Any]] = []  # with a connection: the library gives it no type
        try:
            for calls in groups:
                under_way.append((calls, self._sent(calls)))
                if len(under_way) > 1:
                    yield self._received(*under_way[0], under_way)
            if under_way:
                yield self._received(*under_way[0], under_way)
        finally:
            for _, connection in under_way:  # nobody reads what still comes through it
                connection.disconnect()
                self.client.connection_pool.release(connection)

    def _sent(self, calls: Sequence[Call]) -> Any:  # noqa: ANN401 - see above
        connection: Any = self.client.connection_pool.get_connection()
        commands = [
            ("EVALSHA", self.by_name[call.script].sha, len(call.keys), *call.keys, *call.args)
            for call in calls
        ]
        try:
            connection.send_packed_command(connection.pack_commands(commands))
        except BaseException:
            connection.disconnect()
            self.client.connection_pool.release(connection)
            raise
        return connection

    def _received(self, calls: Sequence[Call], connection: Any, under_way: list[Any]) -> list[Any]:  # noqa: ANN401
        replies = [_reply_from(connection) for _ in calls]
        del under_way[0]
        self.client.connection_pool.release(connection)
        return self._checked(calls, replies)

    def _checked(self, calls: Sequence[Call], replies: list[Any]) -> list[Any]:
        """What a store that had forgotten a script says now; the first error among them is raised."""
        for place, (call, reply) in enumerate(zip(calls, replies, strict=True)):
            if isinstance(reply, NoScriptError):
                replies[place] = self.run(call)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


def is_passing(error: Exception) -> bool:
    """Whether asking again may help: no connection, or a store that is starting or changing its master."""
    passing = (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, OSError)
    # Wrong credentials come as a kind of connection error, and stay wrong.
    return isinstance(error, passing) and not isinstance(error, redis.AuthenticationError)


def take_epoch(client: redis.Redis, app: str, above: int = 0) -> int:
    """Become the learner: publications under earlier epochs are refused from now on.

    A lost reply costs a number, no more.

    Args:
        client: of the store.
        app: the application.
        above: an epoch that was taken before; a store that lost its data does not know it.
    """
    taken: int = client.register_script(script_text("epoch"))(keys=[epoch(app)], args=[above])
    return taken


def wait_for_replicas(client: redis.Redis, keys: Iterable[str]) -> None:
    """Until what was read of these keys is as certain as the address asks; at once if it asks nothing.

    Raises:
        StoreError: it is not, yet: what was read must have no effect; read it again.
    """
    if isinstance(client, ClusterClient):
        client.wait_for_replicas(keys)


def store_now_ms(client: redis.Redis, keys: Keys) -> int:
    """The partition's time as its scripts see it: the store's clock and the tests' skew, never backwards."""
    pipe = client.pipeline(transaction=False)
    pipe.time()
    pipe.get(keys.skew)
    pipe.hget(keys.counters, "clock_ms")
    (seconds, micros), skew_ms, guard_ms = pipe.execute()
    return max(int(seconds) * 1000 + int(micros) // 1000 + int(skew_ms or 0), clock_of(guard_ms))


def _reply_from(connection: Any) -> Any:  # noqa: ANN401 - the library gives neither a type
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def _settings(timeout_s: float, max_connections: int, retry: object) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, WORK_TIMEOUT_S),
        "retry": retry,
        "max_connections": max_connections,
        "timeout": POOL_WAIT_S,
    }


def _relative_path(url: str) -> str | None:
    """The path in ``unix://relative/path``, which the client library would take for a host."""
    rest = url.removeprefix("unix://")
    if rest == url or rest.startswith("/") or "@" in rest:
        return None
    return unquote(rest.partition("?")[0])
