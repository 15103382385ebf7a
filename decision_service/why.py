"""Why an arm is the chosen one, told from the log alone: its score, chance, a rule, or want of others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from decision_service.api.explanations import ExplainedModel, Why
from sidecar.contracts.events import Candidate, DecisionEvent
from sidecar.policy.exploration import Pmf, pmf_of
from sidecar.policy.propensity import pmf_of_event

Scores = npt.NDArray[np.float32]


class Chosen(Struct, frozen=True):
    """A decision, or one slot of it, and what it was chosen from."""

    event: DecisionEvent
    ids: tuple[str, ...]
    """Of the eligible arms."""
    scores: Scores
    pmf: Pmf
    places: tuple[int, ...]
    """Of the chosen arm and of the runner-up, the best of the others; of the one alone where there was no
    other."""

    @property
    def named(self) -> tuple[str, ...]:
        """Those two by their names."""
        return tuple([self.ids[place] for place in self.places])


def chosen_of(event: DecisionEvent, ids: tuple[str, ...]) -> Chosen:
    """What the log knows of a choice among ``ids``."""
    scores = np.frombuffer(event.scores, "<f4")
    others = np.delete(np.arange(len(scores)), event.arm_index)
    runner_up = (int(others[scores[others].argmax()]),) if len(others) else ()
    return Chosen(event, ids, scores, pmf_of_event(event), (event.arm_index, *runner_up))


def why_of(chosen: Chosen) -> Why:
    """What made this arm the chosen one."""
    event, best = chosen.event, chosen.scores.max()
    if event.source == "pre_policy":
        return "rule"
    if event.source == "fallback":
        return "backstop"
    if len(chosen.ids) == 1:
        return "only"
    if event.cold or chosen.scores.min() == best:
        return "alike"
    return "best" if chosen.scores[event.arm_index] == best else "exploration"


def told(why: Why, chosen: Chosen) -> str:
    """The same in a sentence, with the figures that it stands on."""
    event, drawn = chosen.event, f"with probability {chosen.event.propensity:.3g}"
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
            least = float(chosen.pmf.min())
            return f"No arm was scored above it. It was drawn {drawn}, of which {least:.3g} is any arm's."
        case "exploration":
            return f"Exploration drew it {drawn}: its score does not explain the choice. {_better(chosen)}"


def _better(chosen: Chosen) -> str:
    count = int((chosen.scores > chosen.scores[chosen.event.arm_index]).sum())
    best = chosen.ids[int(chosen.scores.argmax())]
    return (
        f"{best!r} was scored above it."
        if count == 1
        else f"{count} arms were scored above it, {best!r} highest."
    )


def models_of(chosen: Chosen) -> list[ExplainedModel]:
    """Every model that could have been official, and how probable it made the arm; the official one first."""
    event = chosen.event
    if event.source != "model":
        return []
    own = Candidate(
        event.policy, event.model_version, event.official_probability, event.exploration, event.scores
    )
    return [_model(chosen, one) for one in (own, *event.candidates)]


def _model(chosen: Chosen, one: Candidate) -> ExplainedModel:
    scores = np.frombuffer(one.scores, "<f4")
    place = chosen.event.arm_index
    return ExplainedModel(
        policy=one.policy,
        model_version=one.model_version,
        probability=one.probability,
        arm_probability=float(pmf_of(scores, one.exploration)[place]),
        arm_score=float(scores[place]),
        best_arm=chosen.ids[int(scores.argmax())],
    )
