"""Reading streams while one is busy with what was read before: the store answers meanwhile.

Not in a thread: the next read is sent, and its answer waits in the socket until it is wanted. The store
writes 64 KB to a connection between two of its commands, and the next ones only when most of them were taken
in: hence several connections, and now and then a look. What was asked for and is not wanted after all is
thrown away with its connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from policy_learner.join.streams import Entry, Wanted, command_of, entries_in, read_all_after

_CONNECTIONS = 4


class ReadAhead:
    """Reads the streams of one store.

    Args:
        client: of the store.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._asked: tuple[list[Wanted], int] | None = None
        self._connections: list[Any] = []  # of the library, which gives their methods no types

    def ask(self, wanted: Sequence[Wanted], count: int) -> None:
        """Say what :meth:`read` will be called with next. Where the store is away nothing was said.

        Nor is it to a client of a kind of its own: a cluster's knows which node has a stream, and waits until
        its replicas have what was read.
        """
        self._forget()
        if type(self._client) is not redis.Redis:
            return
        commands = [command_of(one, count) for one in wanted]
        most = min(_CONNECTIONS, len(commands))
        try:
            for place in range(most):
                connection: Any = self._client.connection_pool.get_connection()
                self._connections.append(connection)
                connection.send_packed_command(connection.pack_commands(commands[place::most]))
        except (redis.RedisError, OSError):
            self._forget()
        else:
            self._asked = (list(wanted), count)

    def take_in(self) -> None:
        """Make room for what the store has still to say; waits for nothing."""
        try:
            for connection in self._connections:
                while connection._parser.read_from_socket(timeout=0, raise_on_timeout=False):
                    pass
        except (redis.RedisError, OSError):
            self._forget()

    def read(self, wanted: Sequence[Wanted], count: int) -> list[list[Entry]]:
        """The next entries of several streams, at most ``count`` of each, as if they were asked for now.

        Raises:
            StoreError: the store is away, or a stream is none.
        """
        found = self._answers(wanted, count)
        if found is None:
            return read_all_after(self._client, wanted, count)
        short = [place for place, entries in enumerate(found) if len(entries) < count]
        if short:  # something may have come since
            now = read_all_after(self._client, [wanted[place] for place in short], count)
            for place, entries in zip(short, now, strict=True):
                found[place] = entries
        return found

    def read_side_by_side(self, wanted: Sequence[Wanted], count: int) -> list[list[Entry]]:
        """The same, of streams that were not asked for, through several connections at once.

        Raises:
            StoreError: as :meth:`read`.
        """
        self.ask(wanted, count)
        found = self._answers(wanted, count)
        return read_all_after(self._client, wanted, count) if found is None else found

    def _answers(self, wanted: Sequence[Wanted], count: int) -> list[list[Entry]] | None:
        """What the store has answered; None when it was asked for something else, or has not."""
        connections = self._connections
        if self._asked != (list(wanted), count):
            self._forget()
            return None
        try:
            most = len(connections)
            found = [entries_in(connections[n % most].read_response()) for n in range(len(wanted))]
        except (redis.RedisError, OSError):  # asked again, the store says why
            self._forget()
            return None
        self._release()
        return found

    def _forget(self) -> None:
        """Nobody reads what still comes through these connections."""
        for connection in self._connections:
            connection.disconnect()
        self._release()

    def _release(self) -> None:
        for connection in self._connections:
            self._client.connection_pool.release(connection)
        self._connections, self._asked = [], None
