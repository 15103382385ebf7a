"""Fetches that do what a script says, on a virtual clock, and remember what was done to them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from feature_graph.guards import guarded
from feature_graph.node import FetchOptions


class Transient(Exception):
    """Listed in ``Retry(on=)`` by tests."""


class Fatal(Exception):
    """Never listed."""


@dataclass
class Script:
    """The n-th call takes the n-th entry: seconds, and a value or an error; the last goes on for ever."""

    entries: list
    began: list = field(default_factory=list)
    ended: list = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    cleaning_s: float = 0.0

    async def __call__(self, x=0):
        loop = asyncio.get_running_loop()
        number = len(self.began)
        seconds, outcome = self.entries[min(number, len(self.entries) - 1)]
        self.began.append(loop.time())
        self.ended.append("under way")
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(seconds)
            self.ended[number] = "ended"
        except asyncio.CancelledError:
            if self.cleaning_s:
                await asyncio.sleep(self.cleaning_s)
            self.ended[number] = "cancelled"
            raise
        finally:
            self.under_way -= 1
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    @property
    def calls(self):
        return len(self.began)


def guard(function, name="node", **options):
    return guarded(function, FetchOptions(**options), name)


async def settle(awaitable):
    """("value", it) or ("error", it)."""
    try:
        return "value", await awaitable
    except asyncio.CancelledError:
        raise
    except Exception as error:
        return "error", error


def now():
    return asyncio.get_running_loop().time()
