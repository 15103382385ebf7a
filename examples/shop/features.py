"""The shop's feature graph: who the shopper is (a fetch with a fallback), and the part of the day."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

import msgspec

from feature_graph import Graph, fetch

BANDS = ("night", "morning", "afternoon", "evening")

Profile = dict[str, str]


class Given(TypedDict):
    """What the service hands in: the unit, the request's own ``hour`` or None, and the table of profiles."""

    unit_id: str
    hour: float | None
    profiles: Mapping[str, Profile]


@fetch(timeout=0.02, fallback={"segment": "guest"})
async def profile(unit_id: str, profiles: Mapping[str, Profile]) -> Profile:
    """What is known of the shopper. An unknown one is a KeyError, and so falls back to a guest."""
    return profiles[unit_id]


def segment(profile: Profile) -> str:
    """Which kind of shopper."""
    return profile["segment"]


def hour_band(hour: float | None) -> str | None:
    """Six hours each, from midnight; none where the request tells no hour of the day."""
    if isinstance(hour, bool) or not isinstance(hour, int | float) or not 0 <= hour < 24:
        return None
    return BANDS[int(hour) // 6]


@asynccontextmanager
async def clients() -> AsyncIterator[dict[str, object]]:
    """The profiles, read once. In place of this table a real shop has a client of its customer database."""
    table = (Path(__file__).parent / "profiles.json").read_bytes()
    yield {"profiles": msgspec.json.decode(table, type=dict[str, Profile])}


graph = Graph(Given, profile, segment, hour_band)
goals = ("segment", "hour_band")
