"""How every model did over the last two hours: a point now and then, for a line on a page.

Evolution: new fields have defaults, nothing changes type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from sidecar.contracts.learner_report import WindowFigures

EVERY_S = 15.0
MOST_POINTS = 480
LEARNER = ""
"""The name of the weights that the learner learns, where no other model scores beside them."""


class Standing(Struct, frozen=True):
    """One model at one moment, over the latest 10,000 decisions or so that it scored."""

    examples: int
    reward: float | None
    """What its policy earns a decision, self-normalised."""
    reward_error: float | None
    auc: float | None


class Point(Struct, frozen=True):
    """All models at one moment."""

    at_ms: int
    """The store's clock."""
    models: dict[str, Standing]


def point_of(at_ms: int, figures: Mapping[str, WindowFigures]) -> Point:
    """The point of what is known of models by name; who has scored nothing has none."""
    standings = {
        name: Standing(one.examples, one.snips, one.snips_error, one.auc)
        for name, one in figures.items()
        if one.examples
    }
    return Point(at_ms, standings)


def encode_point(point: Point) -> bytes:
    """As it stands in the list; what is not finite becomes null."""
    return msgspec.json.encode(point)


def decode_course(stored: Iterable[bytes]) -> list[Point]:
    """The list, oldest first; what is no point is left out."""
    found = []
    for one in stored:
        try:
            found.append(msgspec.json.decode(one, type=Point))
        except msgspec.MsgspecError:
            continue
    return found[::-1]
