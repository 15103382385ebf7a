"""The hand-over of a base, as two files beside the checkpoints: what is offered, and what became of it.

::

    offer.json      written by who trained the base; a later one takes its place
    outcome.json    written by the learner, of the last offer that is settled

Each has one writer and is swapped whole, so whoever dies between two of them is asked again, and no store has
to be there for an offer to be made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from policy_learner.failpoints import reached
from policy_learner.models.checkpoint import write_whole

OFFER, OUTCOME = "offer.json", "outcome.json"


class Offer(Struct, frozen=True, kw_only=True):
    """A base that the learner should go on from."""

    base: str
    at_ms: int
    """By the clock of who offers it."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of an offer."""

    offer: Offer
    version: int = 0
    """The first version that was trained from it; 0: it was refused."""
    reason: str = ""
    """Why it was refused."""


def make_offer(folder: Path, offer: Offer) -> None:
    """Ask the learner of these checkpoints to go on from a base.

    Raises:
        OSError: the disk is full or away; the offer before stands.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / OFFER, msgspec.json.encode(offer))
    reached("base offered")


def settle(folder: Path, outcome: Outcome) -> None:
    """Say what became of an offer.

    Raises:
        OSError: the disk is full or away; say it again.
    """
    write_whole(folder / OUTCOME, msgspec.json.encode(outcome))
    reached("base settled")


def read_offer(folder: Path) -> Offer | None:
    """The last offer; None when there was none, or the file is damaged."""
    return _read(folder / OFFER, Offer)


def read_outcome(folder: Path) -> Outcome | None:
    """What became of the last one that is settled."""
    return _read(folder / OUTCOME, Outcome)


_Kind = TypeVar("_Kind")


def _read(path: Path, kind: type[_Kind]) -> _Kind | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
