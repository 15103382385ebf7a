"""Children of the service for what its own process must not do: reading Parquet, evaluating.

What they need may not be installed where the service is; whether it is they say by their packages' names.
"""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.util import find_spec

from decision_service.errors import NotReady, Overloaded

_AT_ONCE = 2
_MOST_BYTES = 32 * 1024 * 1024


def lacking(*packages: str) -> str:
    """The first of ``packages`` that is not installed here; empty: all are."""
    return next((one for one in packages if find_spec(one) is None), "")


class Questions:
    """Asks ``python -m module`` one question at a time, two at most side by side; belongs to one event loop.

    Args:
        timeout_s: longest life of a child.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s, self._under_way = timeout_s, 0

    async def ask(self, module: str, *arguments: str, question: bytes) -> bytes:
        """What it writes to its standard output; the question goes to its standard input.

        Raises:
            Overloaded: two are under way.
            NotReady: it took too long, or ended badly.
        """
        if self._under_way >= _AT_ONCE:
            raise Overloaded("others are looking into the log just now; try again in a moment")
        self._under_way += 1
        try:
            return await self._told(module, arguments, question)
        finally:
            self._under_way -= 1

    async def _told(self, module: str, arguments: tuple[str, ...], question: bytes) -> bytes:
        child = await asyncio.create_subprocess_exec(
            *command_of(module, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                answer, _ = await child.communicate(question)
        except TimeoutError:
            raise NotReady(
                f"the log was not read through within {self._timeout_s:g} s: ask for less"
            ) from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode or len(answer) > _MOST_BYTES:
            raise NotReady(f"whoever reads the log ended with code {child.returncode}")
        return answer


def command_of(module: str, *arguments: str) -> tuple[str, ...]:
    """What starts a child that ends with this process."""
    return (sys.executable, "-m", module, str(os.getpid()), *arguments)
