"""Personalizer's requests as they are sent: decoded, and checked in the sentences that its users know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from decision_service.doors.personalizer.features import flat
from decision_service.doors.personalizer.refusals import Refused
from sidecar.contracts.application import Features

T = TypeVar("T")

_MOST_ID, _MOST_ACTIONS = 256, 50
_RANK = "InvalidRankRequest"
_CONTROL = {*map(chr, range(32)), "\x7f"}
_TARGETS = tuple(f"actions[{place}]" for place in range(_MOST_ACTIONS))


class Action(Struct, frozen=True):
    """One that can be ranked."""

    id: str = ""
    features: list[Any] | None = None


class Ranking(Struct, frozen=True, rename="camel"):
    """``RankRequest``; unknown fields are passed over, as there."""

    actions: list[Action | None]
    context_features: list[Any] | None = None
    excluded_actions: list[str] | None = None
    event_id: str | None = None
    defer_activation: bool | None = False


class Slot(Struct, frozen=True, rename="camel"):
    """A place on the page."""

    id: str = ""
    features: list[Any] | None = None
    position_features: list[Any] | None = None
    """The same, as a client's own documentation has it."""
    excluded_actions: list[str] | None = None
    baseline_action: str | None = None


class SlotsRanking(Struct, frozen=True, rename="camel"):
    """``MultiSlotRankRequest``."""

    actions: list[Action | None]
    slots: list[Slot | None]
    context_features: list[Any] | None = None
    event_id: str | None = None
    defer_activation: bool | None = False


class Reward(Struct, frozen=True):
    """``RewardRequest``."""

    value: float


class SlotReward(Struct, frozen=True, rename="camel"):
    """Of one slot."""

    slot_id: str
    value: float


class SlotsReward(Struct, frozen=True):
    """``MultiSlotRewardRequest``."""

    reward: list[SlotReward]


RANKING, SLOTS_RANKING = msgspec.json.Decoder(Ranking), msgspec.json.Decoder(SlotsRanking)
REWARD, SLOTS_REWARD = msgspec.json.Decoder(Reward), msgspec.json.Decoder(SlotsReward)


def decoded(body: bytes, decoder: msgspec.json.Decoder[T], code: str) -> T:
    """The request in ``body``.

    Raises:
        Refused: no JSON, or a field of another kind.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Refused(code, f"{error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("BadRequest", f"{error}.") from None


def event_id_of(said: str | None, fresh: Callable[[], str]) -> str:
    """The event's id; a fresh one where the client has none.

    Raises:
        Refused: it is empty, or no id.
    """
    if said is None:
        return fresh()
    if not said:
        raise Refused(_RANK, "EventId should be non-empty or null.", "eventId")
    return checked_id(said, _RANK, "eventId")


def checked_id(said: str, code: str, target: str) -> str:
    """An id that can name something.

    Raises:
        Refused: longer than 256 characters, or with control characters.
    """
    if not 0 < len(said) <= _MOST_ID or not _CONTROL.isdisjoint(said):
        raise Refused(
            code, f"{target} must have 1 to 256 characters, none of them a control character.", target
        )
    return said


def arms_of(actions: Sequence[Action | None]) -> dict[str, Features]:
    """The actions with their features, in their order.

    Raises:
        Refused: none or too many, one that is null, without id, without features, or twice there.
    """
    if not 1 <= len(actions) <= _MOST_ACTIONS:
        raise Refused(_RANK, f"Action count should be between 1 and {_MOST_ACTIONS}.", "actions")
    found: dict[str, Features] = {}
    for place, action in enumerate(actions):
        target = _TARGETS[place]
        if action is None:
            raise Refused(_RANK, "Actions contains null value.", target)
        if not action.id:
            raise Refused(_RANK, "Action ids must not be empty.", target)
        features = flat([one for one in action.features or () if one is not None], target)
        if not features:
            raise Refused(_RANK, "Every action should have at least one non-null action feature.", target)
        if checked_id(action.id, _RANK, f"{target}.id") in found:
            raise Refused(_RANK, f"Action id {action.id} stands there twice.", target)
        found[action.id] = features
    return found


def context_of(features: Sequence[Any] | None) -> Features:
    """The context.

    Raises:
        Refused: one of it is null, or no feature.
    """
    if features and None in features:
        raise Refused(_RANK, "Context features contains null value.", "contextFeatures")
    return flat(features or (), "contextFeatures")
