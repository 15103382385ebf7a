"""Ranks: an event's decision, or one for each of its slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct

from decision_service.api.recommendations import Recommendation, RecommendationRequest
from decision_service.api.values import GivenArm
from decision_service.asking import Asking
from decision_service.doors.foreign import Visit
from decision_service.doors.personalizer.requests import (
    RANKING,
    SLOTS_RANKING,
    arms_of,
    context_of,
    decoded,
    event_id_of,
)
from decision_service.doors.personalizer.slots import Place, places_of, possible
from decision_service.endpoint import Tell
from decision_service.problem import HttpAnswer
from sidecar.contracts.application import Features

_RANK = "InvalidRankRequest"
_encode = msgspec.json.Encoder().encode


class Ranked(Struct, frozen=True):
    """An action in an answer."""

    id: str
    probability: float


class Answer(Struct, frozen=True, rename="camel"):
    """``RankResponse``."""

    ranking: list[Ranked]
    event_id: str
    reward_action_id: str


class SlotAnswer(Struct, frozen=True, rename="camel"):
    """What a slot shows."""

    id: str
    reward_action_id: str


class SlotsAnswer(Struct, frozen=True, rename="camel"):
    """``MultiSlotRankResponse``."""

    slots: list[SlotAnswer]
    event_id: str


class Ranker:
    """Answers ranks by asking for decisions.

    Args:
        asking: decides.
        fresh_id: makes an event's id where the client has none.
    """

    def __init__(self, asking: Asking, fresh_id: Callable[[], str]) -> None:
        self._asking, self._fresh_id = asking, fresh_id

    async def rank(self, visit: Visit) -> HttpAnswer:
        """``POST rank``."""
        asked, actions = self._asked(visit)
        return _answer(await self._asking.ask(asked), actions)

    def rank_at_once(self, visit: Visit, tell: Tell) -> None:
        """The same without a task for each.

        Raises:
            Refused: it is no rank.
        """
        asked, actions = self._asked(visit)

        def answer(outcome: Recommendation | BaseException) -> None:
            tell(_answer(outcome, actions) if isinstance(outcome, Recommendation) else outcome)

        self._asking.put(asked, answer)

    def _asked(self, visit: Visit) -> tuple[RecommendationRequest, list[str]]:
        """The request that a rank is, and its actions in their order."""
        asked = decoded(visit.body, RANKING, _RANK)
        event_id = event_id_of(asked.event_id, self._fresh_id)
        arms, excluded = arms_of(asked.actions), asked.excluded_actions or ()
        return RecommendationRequest(
            session_id=event_id,
            decision_id=event_id,
            context=context_of(asked.context_features),
            arms=[GivenArm(arm_id, features) for arm_id, features in arms.items()],
            exclude=[action for action in excluded if action in arms],
            limit="all",
            deferred=bool(asked.defer_activation),
        ), list(arms)

    async def rank_slots(self, visit: Visit) -> HttpAnswer:
        """``POST multislot/rank``: slot by slot, each among the actions that stand in none before it."""
        asked = decoded(visit.body, SLOTS_RANKING, _RANK)
        event_id = event_id_of(asked.event_id, self._fresh_id)
        arms, context = arms_of(asked.actions), context_of(asked.context_features)
        places, left = places_of(asked.slots, arms.keys()), frozenset(arms)
        shown: list[SlotAnswer] = []
        for number, place in enumerate(places):
            eligible = possible(place, places[number + 1 :], left)
            made = await self._asking.ask(
                RecommendationRequest(
                    session_id=event_id,
                    decision_id=place.id,
                    context=context | _of_place(place),
                    arms=[GivenArm(one, arms[one]) for one in sorted(eligible, key=list(arms).index)],
                    deferred=bool(asked.defer_activation),
                )
            )
            left -= {made.arm}
            shown.append(SlotAnswer(place.id, made.arm))
        return HttpAnswer(201, _encode(SlotsAnswer(shown, event_id)))


def _of_place(place: Place) -> Features:
    """A slot's features beside the context's: where it stands matters as much as who looks."""
    return {"slot": place.id, **{f"slot.{name}": value for name, value in place.features.items()}}


def _answer(made: Recommendation, actions: list[str]) -> HttpAnswer:
    return HttpAnswer(201, _encode(Answer(list(_ranking(made, actions)), made.session_id, made.arm)))


def _ranking(made: Recommendation, actions: list[str]) -> Iterator[Ranked]:
    """Who is shown comes first, then the others by score; what could not be shown keeps its place, at 0."""
    probabilities = {one.arm: one.probability for one in made.ranking}
    eligible = iter([made.arm, *(one.arm for one in made.ranking if one.arm != made.arm)])
    for action in actions:
        if action in probabilities:
            best = next(eligible)
            yield Ranked(best, probabilities[best])
        else:
            yield Ranked(action, 0.0)
