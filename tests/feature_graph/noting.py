"""Nodes that note that they were called."""

from __future__ import annotations

import asyncio
from typing import TypedDict

from feature_graph import fetch
from tests.feature_graph.virtual_time import never


class Given(TypedDict, total=False):
    x: int
    flag: object


class Calls:
    """Nodes that note that they were called."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def value(self, name, value, **options):
        async def node(x):
            self.made.append(name)
            await asyncio.sleep(0)
            return value

        return fetch(**options)(node)

    def error(self, name, error=None, **options):
        async def node(x):
            self.made.append(name)
            await asyncio.sleep(0)
            raise KeyError(name) if error is None else error

        return fetch(**options)(node)

    def hang(self, name, **options):
        async def node(x):
            self.made.append(name)
            await never()

        return fetch(**options)(node)
