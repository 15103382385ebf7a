"""One deadline for all of a call. httpx's timeouts are each for one connecting, one write, one read.

So a service that answers byte by byte, or slowly at every step, could take many times what was asked for.
Tasks are cancelled; threads cannot be, so before each step of a socket its time is looked at again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import httpx


class Left(float):
    """Seconds that were left when it was made; ``now`` tells those that are."""

    now: Callable[[], float]

    def __new__(cls, seconds: float, now: Callable[[], float]) -> Self:
        """Of ``seconds``, which ``now`` counts down."""
        made = super().__new__(cls, seconds)
        made.now = now
        return made


def one_deadline(client: httpx.Client) -> None:
    """Have the timeout of a request of ``client``, where it is a :class:`Left`, hold for all its steps.

    httpx has no place for that. Where its inside is another one than ours knows, or the caller brought a
    transport of his own, its timeouts stay what they are.
    """
    for transport in (client._transport, *client._mounts.values()):
        pool = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if backend is not None and not isinstance(backend, _Network):
            pool._network_backend = _Network(backend)  # type: ignore[union-attr]  # it has one


class _Network:
    """What opens connections, and opens those whose steps share a deadline."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401  # of httpcore, which httpx brings
        self._inner = inner

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **more: Any) -> _Stream:  # noqa: ANN401
        """Called by httpcore."""
        return _Stream(self._inner.connect_tcp(host, port, timeout=_left(timeout), **more))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._inner, name)


class _Stream:
    """A connection."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Called by httpcore."""
        got: bytes = self._inner.read(max_bytes, timeout=_left(timeout))
        return got

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Called by httpcore."""
        self._inner.write(buffer, timeout=_left(timeout))

    def start_tls(self, context: Any, name: str | None = None, timeout: float | None = None) -> _Stream:  # noqa: ANN401
        """Called by httpcore."""
        return _Stream(self._inner.start_tls(context, name, timeout=_left(timeout)))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._inner, name)


def _left(timeout: float | None) -> float | None:
    """What a step may take.

    Raises:
        httpx.ReadTimeout: nothing: the time is over.
    """
    if not isinstance(timeout, Left):
        return timeout
    left_s = timeout.now()
    if left_s <= 0.0:
        raise httpx.ReadTimeout("the time of the call is over")
    return left_s
