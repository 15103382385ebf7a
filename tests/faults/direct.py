"""The way to the simulation's store: one connection, and nothing around a command but the command.

A client looks after a pool, retries, timeouts and figures of its own. Here one actor runs at a time, and the
store neither dies nor is slow. Replies and errors are those of the client.
"""

from __future__ import annotations

from typing import Any

import redis


class DirectRedis(redis.Redis):
    """A client of one connection that is never let go."""

    @classmethod
    def over(cls, client: redis.Redis) -> DirectRedis:
        """On a connection of another client's pool; all that is made from this one share it."""
        pool = client.connection_pool
        connection = pool.get_connection()
        pool.get_connection, pool.release = lambda *_, **__: connection, lambda _: None
        connection._sock.settimeout(None)  # else each read begins with asking whether there is anything
        return cls(connection_pool=pool)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        connection = self.connection_pool.get_connection()
        connection.send_packed_command((b"".join(connection.pack_command(*args)),))
        return self.parse_response(connection, args[0], **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> DirectPipeline:
        return DirectPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class DirectPipeline(redis.client.Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        if self.transaction or self.watching or self.scripts:
            return super().execute(raise_on_error)
        try:
            return self._told(raise_on_error) if self.command_stack else []
        finally:
            self.reset()

    def _told(self, raise_on_error: bool) -> list[Any]:
        connection, commands = self.connection_pool.get_connection(), self.command_stack
        packed = [part for args, _ in commands for part in connection.pack_command(*args)]
        connection.send_packed_command((b"".join(packed),))
        replies = [self._reply(connection, args[0], options) for args, options in commands]
        if raise_on_error:
            self.raise_first_error(commands, replies)
        return replies

    def _reply(self, connection: Any, name: str, options: dict[str, Any]) -> Any:
        """An error is a reply too: those of the commands behind it are still to be read."""
        try:
            return redis.Redis.parse_response(self, connection, name, **options)
        except redis.ResponseError as error:
            return error
