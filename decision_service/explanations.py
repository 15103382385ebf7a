"""Why this arm? What its score is made of, beside the runner-up's; and whether its score is why at all.

The model container takes scores apart, with the weights that gave them as long as they are kept. An arm that
exploration drew is not explained by its score, and is not passed off as if it were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from decision_service.api import ArmExplanation, ExplainedModel, ExplanationView, ScorePart, Why
from decision_service.catalogues import Catalogues
from decision_service.decisions import Decisions, exploration_view
from decision_service.errors import NotFound
from decision_service.explain_client import ask
from sidecar.contracts.application import Arm
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import Candidate, DecisionEvent, arms_of
from sidecar.contracts.explaining import Explained, ExplainRequest, ExplainResponse
from sidecar.policy.exploration import Pmf, pmf_of
from sidecar.policy.propensity import pmf_of_event

Scores = npt.NDArray[np.float32]


class Asked(Struct, frozen=True):
    """A decision and what is to be told of it."""

    event: DecisionEvent
    ids: tuple[str, ...]
    """Of the eligible arms."""
    scores: Scores
    pmf: Pmf
    runner_up: int | None
    """Place of the best arm but the chosen one; None where that was alone."""


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
        if not event.scores:
            raise NotFound(f"decision {decision_id} was not scored here: there is nothing to explain")
        try:
            ids = await self._catalogues.eligible_ids(event)
        except BadEvent as error:
            raise NotFound(str(error)) from error
        asked = asked_of(event, ids)
        if event.source != "model" or event.cold:
            return view(asked, None)
        request = ExplainRequest(event.context, await self._arms(asked), event.model_version)
        return view(asked, await ask(self._socket, request, self._timeout_s))

    async def _arms(self, asked: Asked) -> tuple[Arm, ...]:
        """The chosen one and the runner-up, with the features that they were scored with."""
        catalogue = await self._catalogues.of(asked.event.catalogue)
        if catalogue is None:
            raise NotFound(f"the arms of decision {asked.event.decision_id} are not kept any more")
        arms = await asyncio.to_thread(arms_of, asked.event, catalogue)  # there may be thousands
        return tuple([arms[place] for place in _places(asked)])


def asked_of(event: DecisionEvent, ids: tuple[str, ...]) -> Asked:
    """What is known without asking anybody."""
    scores = np.frombuffer(event.scores, "<f4")
    others = np.delete(np.arange(len(scores)), event.arm_index)
    runner_up = int(others[scores[others].argmax()]) if len(others) else None
    return Asked(event, ids, scores, pmf_of_event(event), runner_up)


def view(asked: Asked, response: ExplainResponse | None) -> ExplanationView:
    """The public form. Without a response nothing was scored by a model."""
    event = asked.event
    why = why_of(asked)
    explained = response.arms if response else (None,) * len(_places(asked))
    return ExplanationView(
        decision_id=event.decision_id,
        arm=event.arm,
        probability=event.propensity,
        why=why,
        told=told(why, asked),
        least_probability=float(asked.pmf.min()),
        exploration=exploration_view(event.exploration),
        segment=event.segment or None,
        models=models_of(asked),
        model_version=event.model_version,
        explained_by=response.version if response else None,
        exact=_is_exact(asked, response),
        arms=[_arm(asked, place, one) for place, one in zip(_places(asked), explained, strict=True)],
    )


def why_of(asked: Asked) -> Why:
    """What made this arm the chosen one."""
    event, best = asked.event, asked.scores.max()
    if event.source == "pre_policy":
        return "rule"
    if event.source == "fallback":
        return "backstop"
    if len(asked.ids) == 1:
        return "only"
    if event.cold or asked.scores.min() == best:
        return "alike"
    return "best" if asked.scores[event.arm_index] == best else "exploration"


def told(why: Why, asked: Asked) -> str:
    """The same in a sentence, with the figures that it stands on."""
    event, drawn = asked.event, f"with probability {asked.event.propensity:.3g}"
    least = f"{float(asked.pmf.min()):.3g}"
    match why:
        case "rule":
            return f"The rule {event.rule!r} answered; no model was asked."
        case "backstop":
            return f"No model answered in time; {event.arm!r} was drawn evenly from all eligible arms."
        case "only":
            return f"{event.arm!r} was the only eligible arm."
        case "alike":
            return f"No arm was scored above another; {event.arm!r} was drawn {drawn}."
        case "best":
            return f"No arm was scored above it. It was drawn {drawn}, of which {least} is any arm's."
        case "exploration":
            better = int((asked.scores > asked.scores[event.arm_index]).sum())
            best = asked.ids[int(asked.scores.argmax())]
            return (
                f"Exploration drew it {drawn}: its score does not explain the choice. {better} arms were "
                f"scored above it, {best!r} highest."
            )


def models_of(asked: Asked) -> list[ExplainedModel]:
    """Every model that could have been official, and how probable it made the arm; the official one first."""
    event = asked.event
    if event.source != "model":
        return []
    own = Candidate(
        event.policy, event.model_version, event.official_probability, event.exploration, event.scores
    )
    return [_model(asked, one) for one in (own, *event.candidates)]


def _model(asked: Asked, one: Candidate) -> ExplainedModel:
    scores = np.frombuffer(one.scores, "<f4")
    place = asked.event.arm_index
    return ExplainedModel(
        policy=one.policy,
        model_version=one.model_version,
        probability=one.probability,
        arm_probability=float(pmf_of(scores, one.exploration)[place]),
        arm_score=float(scores[place]),
        best_arm=asked.ids[int(scores.argmax())],
    )


def _places(asked: Asked) -> Sequence[int]:
    first = asked.event.arm_index
    return (first,) if asked.runner_up is None else (first, asked.runner_up)


def _is_exact(asked: Asked, response: ExplainResponse | None) -> bool | None:
    """Whether the parts are those of the very scores that were served, to the last bit."""
    if response is None:
        return None
    said = np.array([one.score for one in response.arms], np.float32)
    return bool(np.array_equal(said, asked.scores[list(_places(asked))]))


def _arm(asked: Asked, place: int, explained: Explained | None) -> ArmExplanation:
    role: Literal["chosen", "runner_up"] = "chosen" if place == asked.event.arm_index else "runner_up"
    return ArmExplanation(
        arm=asked.ids[place],
        role=role,
        score=float(asked.scores[place]),
        probability=float(asked.pmf[place]),
        parts=[
            ScorePart(
                features=list(part.features),
                value=part.value,
                weight=part.weight,
                contribution=part.contribution,
            )
            for part in (explained.parts if explained else ())
        ],
        others=explained.others if explained else 0.0,
        n_others=explained.n_others if explained else 0,
    )
