"""Nodes with types, and what a graph of them is refused for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NewType, ParamSpec, Protocol, TypedDict, TypeVar

from feature_graph import (
    BadGraph,
    Graph,
)

P = ParamSpec("P")


R = TypeVar("R")


T = TypeVar("T")


UserId = NewType("UserId", str)


class Http:
    def get(self, url: str) -> bytes:
        return b""


class Client(Protocol):
    def get(self, url: str) -> bytes: ...


class Given(TypedDict):
    user: str
    age: int
    arms: list[str]
    http: Http
    anything: Any
    maybe: str | None


def user_id(user: str) -> UserId:
    return UserId(user)


async def score(user: str) -> float:
    return 0.5


def text(user: str) -> str:
    return user


def problems_of(*nodes, **named) -> list[str]:
    try:
        Graph(Given, *nodes, **named)
    except BadGraph as refused:
        return list(refused.problems)
    return []


def node(name: str, wants: Any, gives: Any = None) -> Callable[..., Any]:
    """``def made(<name>: wants) -> gives``; types as objects."""
    namespace: dict[str, Any] = {}
    exec(f"def made({name}): return {name}", namespace)
    made = namespace["made"]
    made.__annotations__ = {name: wants, "return": gives}
    return made
