"""What is known of every model: how well it foresees, what it earns, and whether it should be the champion.

Evolution: new fields have defaults, nothing changes type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from sidecar.contracts.learner_report import WindowFigures

Verdict = Literal["undecided", "too few", "contradicted", "better", "worse"]
"""Of a challenger. ``too few``: better, if the decisions that say so were not so few in effect;
``contradicted``: better than the champion, and worse than drawing arms evenly, which cannot be right;
``worse``: beyond doubt."""


class Contest(Struct, frozen=True, kw_only=True):
    """A challenger against the champion, on decisions that both of them scored. Values are mean rewards."""

    champion: str
    challenger: str
    verdict: Verdict
    decisions: int
    """That say something of both."""
    effective: float
    """How many decisions that the challenger answers itself would say as much of it (Kish)."""
    champion_value: float
    challenger_value: float
    difference: float
    """Challenger less champion, of all that they scored."""
    lower: float
    """The difference is above it, whenever anybody looks, but for a chance of ``error``, which challengers
    share that are there at one time."""
    upper: float
    """And below it, likewise."""
    error: float
    control_upper: float
    """Challenger less drawing evenly: below it, likewise. Under 0 the control share contradicts."""
    since_decisions: int = 0
    """Into the contest, when the lap began that ``decisions`` and all else are of; 0: all of it."""
    laps: int = 1


class ModelFigures(Struct, frozen=True):
    """One model, as it served or would have."""

    name: str
    version: int
    """Of its weights, in the newest of these decisions."""
    progressive: WindowFigures
    """Over the latest 10,000 decisions that it scored: none of them had been learnt from then."""
    by_time: WindowFigures = WindowFigures()
    """The same over the latest ten minutes of the stream's clock."""


class Promotion(Struct, frozen=True, kw_only=True):
    """A challenger that took the champion's place by itself: the evidence in the notice of the change."""

    kind: Literal["promoted", "rolled back"]
    """``rolled back``: the new champion is the one that was replaced before."""
    champion: str
    """The new one."""
    predecessor: str
    contest: Contest
    """What argued for it, of ``champion`` as the challenger of ``predecessor``."""
    at_ms: int = 0
    """By the store's clock, which stands in the notice; 0 there."""


class Shown(Struct, frozen=True):
    """What is shown of all of them."""

    models: tuple[ModelFigures, ...] = ()
    contests: tuple[Contest, ...] = ()
    automatic: bool = False
    promotions: tuple[Promotion, ...] = ()
    """The latest, newest first."""


def encode_shown(shown: Shown) -> bytes:
    """As it is stored; what is not finite becomes null."""
    return msgspec.json.encode(shown)


def decode_shown(stored: bytes | None) -> Shown:
    """From the hash's field; nothing is known where nothing was written, or something else."""
    try:
        return msgspec.json.decode(stored or b"{}", type=Shown)
    except msgspec.MsgspecError:
        return Shown()


def encode_promotion(promotion: Promotion) -> bytes:
    """As the evidence of a notice."""
    return msgspec.json.encode(promotion)


def decode_promotion(notice: Mapping[bytes, bytes]) -> Promotion | None:
    """From the fields of a notice; None: it is of something else."""
    try:
        promotion = msgspec.json.decode(notice.get(b"evidence", b""), type=Promotion)
        return msgspec.structs.replace(promotion, at_ms=int(notice.get(b"clock_ms", b"0")))
    except ValueError:
        return None
