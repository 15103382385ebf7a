"""The rendezvous: of the models that answered, which one's answer is the official one, and how probably.

By priority, elapsed time and share. Each challenger answers its share of the traffic and the champion the
rest. A model that has not answered within its wait is passed over: its share goes to the champion, and where
the champion is silent, to the challenger of the highest priority. Nothing here depends on which model the
coin will name, so the probabilities are those of the whole procedure, given who answered.
(Ted Dunning and Ellen Friedman, "Machine Learning Logistics", 2017, chapter 3.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

import msgspec

from decision_service.scored import Scored
from sidecar.contracts.events import Candidate, Shadow
from sidecar.contracts.roster import Model, Roster
from sidecar.policy.propensity import posterior


def preferred(models: Sequence[Model]) -> list[Model]:
    """Those that can be official, the most preferred first: the champion, then by priority, then by name."""
    answering = [model for model in models if model.can_answer]
    return sorted(answering, key=lambda model: (model.role != "champion", -model.priority, model.name))


def chances(models: Sequence[Model], answered: Collection[str]) -> dict[str, float]:
    """The probability of each model that answered to be the official one; empty when none can be.

    >>> shop = [Model(name="champion", role="champion"), Model(name="bold", role="challenger", share=0.2)]
    >>> chances(shop, {"champion", "bold"})
    {'champion': 0.8, 'bold': 0.2}
    >>> chances(shop, {"bold"})
    {'bold': 1.0}
    """
    present = [model for model in preferred(models) if model.name in answered]
    if not present:
        return {}
    first, *others = present
    shares = {model.name: model.share for model in others}
    return {first.name: max(0.0, 1.0 - sum(shares.values())), **shares}


def awaited(models: Sequence[Model], answered: Collection[str]) -> list[Model]:
    """Those whose answer could still change the official one, or that are waited for all the same."""
    found = []
    for model in preferred(models):
        if model.name in answered:
            break  # those behind stand in for nobody any more
        found.append(model)
    ahead = {model.name for model in found}
    for model in models:
        if model.name in answered or model.name in ahead:
            continue
        if model.share > 0.0 if model.can_answer else model.wait_ms is not None:
            found.append(model)
    return [model for model in found if model.role != "decoy"]


def meeting(roster: Roster, said: Mapping[str, Scored]) -> Scored | None:
    """What is known when the rendezvous closes: the most preferred answer, beside it all others.

    None when no model answered that can be official.
    """
    official = chances(roster.models, said)
    if not official:
        return None
    first, *others = [said[name] for name in official if official[name] > 0.0]
    return msgspec.structs.replace(
        first,
        probability=official[first.policy],
        candidates=tuple([_with_chance(one, official[one.policy]) for one in others]),
        shadows=shadows_of(roster, said, official),
        missing=missing_of(roster, said),
    )


def shadows_of(
    roster: Roster, said: Mapping[str, Scored], official: Mapping[str, float]
) -> tuple[Shadow, ...]:
    """What the models say that cannot be official this time."""
    return tuple(
        [
            Shadow(model.name, said[model.name].model_version, said[model.name].values.tobytes())
            for model in roster.models
            if model.name in said and not official.get(model.name)
        ]
    )


def missing_of(roster: Roster, said: Collection[str]) -> tuple[str, ...]:
    """Models that were asked and have not answered."""
    return tuple([one.name for one in roster.models if one.role != "decoy" and one.name not in said])


def named(scored: Scored, place: int, coin: float) -> Scored:
    """The same, with the official model first, now that the arm at ``place`` was drawn from the mixture.

    Args:
        scored: what :func:`meeting` gave.
        place: of the arm.
        coin: in [0, 1), of its own.
    """
    if not scored.candidates:
        return scored
    ends = list(accumulate(posterior(scored.parts(), place)))
    chosen = next((i for i, end in enumerate(ends) if coin < end), 0)
    everyone = (_alone(scored), *scored.candidates)
    return msgspec.structs.replace(
        everyone[chosen],
        candidates=(*everyone[:chosen], *everyone[chosen + 1 :]),
        shadows=scored.shadows,
        missing=scored.missing,
    )


def candidates_of(scored: Scored) -> tuple[Candidate, ...]:
    """The other candidates as they are logged."""
    return tuple(
        [
            Candidate(one.policy, one.model_version, one.probability, one.exploration, one.values.tobytes())
            for one in scored.candidates
        ]
    )


def _with_chance(scored: Scored, probability: float) -> Scored:
    return msgspec.structs.replace(scored, probability=probability)


def _alone(scored: Scored) -> Scored:
    return msgspec.structs.replace(scored, candidates=(), shadows=(), missing=())
