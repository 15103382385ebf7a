"""What is written in one turn of the loop leaves as one piece, in order, and nothing is lost at the end."""

from __future__ import annotations

import asyncio

from sidecar.contracts.corked import Corked


class Told:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.said: list[bytes | str] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.said.append(data)

    def close(self) -> None:
        self.closing = True
        self.said.append("closed")

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> str:
        return f"info of {name}"


async def test_head_and_body_leave_together() -> None:
    """And the next turn's on their own."""
    told = Told()
    corked = Corked(told, asyncio.get_running_loop())
    corked.write(b"head ")
    corked.write(b"body")
    assert told.said == []
    await asyncio.sleep(0)
    corked.write(b"more")
    await asyncio.sleep(0)
    assert told.said == [b"head body", b"more"]


async def test_what_was_written_is_sent_before_the_end() -> None:
    """And what is written after it is not."""
    told = Told()
    corked = Corked(told, asyncio.get_running_loop())
    corked.write(b"last")
    corked.close()
    corked.write(b"too late")
    await asyncio.sleep(0)
    assert told.said == [b"last", "closed"]
    assert corked.get_extra_info("peername") == "info of peername"
