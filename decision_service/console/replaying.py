"""Is one decision what the log says? Its draw done again here, its scores by the model container."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from decision_service.api.explanations import ExplanationView
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.slots import slot_event
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw


class ReplayCheck(Struct, frozen=True):
    """One thing done again."""

    what: Literal["draw", "scores"]
    ok: bool | None
    """null: it cannot be done here."""
    told: str
    """What came of it."""


def draw_again(event: DecisionEvent, ids: Sequence[str]) -> ReplayCheck:
    """The logged scores and seed give the logged arm with the logged probability, in every slot."""
    if not event.scores or not event.seed:
        return ReplayCheck(
            "draw", None, "Nothing was drawn here: another system chose, or nothing was scored."
        )
    try:
        slots = [event, *[slot_event(event, number) for number in range(1, len(event.slots) + 1)]]
        for slot in slots:
            if complaint := _drawn_otherwise(slot, slot.arms or ids):
                return ReplayCheck("draw", False, complaint)
    except (SidearmError, ValueError) as error:
        return ReplayCheck("draw", False, f"It cannot be drawn again: {error}")
    arms = "the same arm" if len(slots) == 1 else f"the same {len(slots)} arms"
    return ReplayCheck(
        "draw",
        True,
        f"Drawn again from its scores and its seed: {arms}, with the same probability to the last bit.",
    )


def _drawn_otherwise(slot: DecisionEvent, ids: Sequence[str]) -> str:
    """What came out another way; empty: nothing did."""
    pmf = pmf_of_event(slot)
    place = draw(pmf, int(slot.seed))
    if (ids[place], float(pmf[place])) == (slot.arm, slot.propensity):
        return ""
    return (
        f"Drawn again: {ids[place]!r} with probability {float(pmf[place])!r};"
        f" logged: {slot.arm!r} with {slot.propensity!r}."
    )


def scores_again(event: DecisionEvent, explained: ExplanationView | None) -> ReplayCheck:
    """Whether the model container gives the scores that were served, of the chosen arm and its runner-up."""
    if explained is None or explained.exact is None:
        return ReplayCheck("scores", None, "No model's scores are behind it, or none can be asked now.")
    version = f"version {event.model_version}"
    if explained.exact:
        return ReplayCheck(
            "scores",
            True,
            f"Scored again with {version}: the same to the last bit, chosen arm and runner-up.",
        )
    if explained.explained_by != event.model_version:
        return ReplayCheck(
            "scores",
            None,
            f"The weights of {version} are kept no more; `sidearm replay` trains them again from the log.",
        )
    return ReplayCheck("scores", False, f"Scored again with {version}, the scores are others.")
