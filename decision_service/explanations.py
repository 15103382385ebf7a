"""Why this arm? What its score is made of, beside the runner-up's; and whether its score is why at all.

The model container takes scores apart, with the weights that gave them as long as they are kept. An arm that
exploration drew is not explained by its score, and is not passed off as if it were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from decision_service.api.explanations import ArmExplanation, ExplainedSlot, ExplanationView, ScorePart
from decision_service.catalogues import Catalogues
from decision_service.decisions import Decisions, exploration_view
from decision_service.errors import NotFound
from decision_service.explain_client import ask
from decision_service.why import Chosen, chosen_of, models_of, told, why_of
from sidecar.contracts.application import Arm
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import DecisionEvent, arms_of
from sidecar.contracts.explaining import Explained, ExplainRequest, ExplainResponse
from sidecar.contracts.slots import slot_event

_NOT_TAKEN_APART = Explained(0.0, ())


class Explanations:
    """Explains decisions of one application; belongs to one event loop.

    Args:
        decisions: where they are.
        catalogues: where their arms are.
        socket: of the model container.
        timeout_s: longest wait for it.
    """

    def __init__(self, decisions: Decisions, catalogues: Catalogues, socket: str, timeout_s: float) -> None:
        self._decisions = decisions
        self._catalogues = catalogues
        self._socket = socket
        self._timeout_s = timeout_s

    async def explain(self, decision_id: str) -> ExplanationView:
        """The explanation of a decision.

        Raises:
            NotFound: there is no such decision, or its arms are not kept any more.
            StoreAway: the store did not answer.
            SidecarFailed: the model container did not.
        """
        event = await self._decisions.find(decision_id)
        try:
            ids = await self._catalogues.eligible_ids(event) if event.scores else ()
        except BadEvent as error:
            raise NotFound(str(error)) from error
        return await self.explain_event(event, ids)

    async def explain_event(self, event: DecisionEvent, ids: tuple[str, ...]) -> ExplanationView:
        """The explanation of a decision that is at hand; ``ids``: its eligible arms.

        Raises:
            NotFound, StoreAway, SidecarFailed: as :meth:`explain`.
        """
        if not event.scores:
            raise NotFound(f"decision {event.decision_id} was not scored here: there is nothing to explain")
        slots = slot_by_slot(event, ids)
        if event.source != "model" or event.cold:
            return view(slots, None)
        arms = await self._arms(event, named_of(slots))
        response = await ask(
            self._socket, ExplainRequest(event.context, arms, event.model_version), self._timeout_s
        )
        return view(slots, response)

    async def _arms(self, event: DecisionEvent, named: Sequence[str]) -> tuple[Arm, ...]:
        """Those of these names, with the features that they were scored with."""
        catalogue = await self._catalogues.of(event.catalogue)
        if catalogue is None:
            raise NotFound(f"the arms of decision {event.decision_id} are not kept any more")
        arms = await asyncio.to_thread(arms_of, event, catalogue)  # there may be thousands
        by_id = {arm.id: arm for arm in arms}
        return tuple([by_id[arm_id] for arm_id in named])


def slot_by_slot(event: DecisionEvent, ids: tuple[str, ...]) -> list[Chosen]:
    """The choices of a decision, the first slot's first."""
    further = [slot_event(event, number) for number in range(1, len(event.slots) + 1)]
    return [chosen_of(event, ids), *(chosen_of(one, one.arms) for one in further)]


def named_of(slots: Sequence[Chosen]) -> tuple[str, ...]:
    """The arms that are taken apart, each once: every slot's, and its runner-up."""
    return tuple(dict.fromkeys([arm_id for slot in slots for arm_id in slot.named]))


def view(slots: Sequence[Chosen], response: ExplainResponse | None) -> ExplanationView:
    """The public form. Without a response nothing was scored by a model."""
    first, named = slots[0], named_of(slots)
    event, why = first.event, why_of(first)
    parts = response.arms if response else (_NOT_TAKEN_APART,) * len(named)
    return ExplanationView(
        decision_id=event.decision_id,
        arm=event.arm,
        probability=event.propensity,
        why=why,
        told=told(why, first),
        least_probability=float(first.pmf.min()),
        exploration=exploration_view(event.exploration),
        segment=event.segment or None,
        models=models_of(first),
        model_version=event.model_version,
        explained_by=response.version if response else None,
        exact=None if response is None else _is_exact(first, named, response),
        arms=[_arm(first, arm_id, one) for arm_id, one in zip(named, parts, strict=True)],
        slots=[_slot(slot) for slot in slots[1:]],
    )


def _is_exact(first: Chosen, named: Sequence[str], response: ExplainResponse) -> bool:
    """Whether the parts are those of the very scores that were served, to the last bit."""
    said = np.array([one.score for one in response.arms], np.float32)
    places = [first.ids.index(arm_id) for arm_id in named]
    return bool(np.array_equal(said, first.scores[places]))


def _slot(slot: Chosen) -> ExplainedSlot:
    why, beside = why_of(slot), slot.named[1:]
    return ExplainedSlot(
        arm=slot.event.arm,
        probability=slot.event.propensity,
        why=why,
        told=told(why, slot),
        runner_up=beside[0] if beside else None,
    )


def _arm(first: Chosen, arm_id: str, explained: Explained) -> ArmExplanation:
    place = first.ids.index(arm_id)
    roles = dict(zip(first.places, ("chosen", "runner_up"), strict=False))
    return ArmExplanation(
        arm=arm_id,
        role=roles.get(place, "slot"),  # type: ignore[arg-type]  # it is one of three
        score=float(first.scores[place]),
        probability=float(first.pmf[place]),
        parts=[
            ScorePart(
                features=list(part.features),
                value=part.value,
                weight=part.weight,
                contribution=part.contribution,
            )
            for part in explained.parts
        ],
        others=explained.others,
        n_others=explained.n_others,
    )
