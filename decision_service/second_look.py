"""The only look at the feature graph, or the second, which goes on from the first: what is scored."""

from __future__ import annotations

from collections.abc import Sequence

from decision_service.arm_values import NO_ARM_FEATURES, ArmFeatures, arm_features, plain_columns, together
from decision_service.feature_module import ARMS, FETCH_SHARE
from decision_service.feature_values import GIVEN, features, plain_features
from decision_service.looks import Looker, Resolved, Wanted
from decision_service.side_by_side import all_of
from feature_graph import Resolution
from sidecar.contracts.application import Features

Goals = tuple[tuple[str, ...], tuple[str, ...]]
"""Of the context, and of arms."""


async def look_on(looker: Looker, asked: Sequence[Wanted], deadline_at: float) -> list[Resolved]:
    """The features of all that was asked; those that want the same nodes share a look."""
    groups: dict[Goals, list[int]] = {}
    for place, one in enumerate(asked):
        groups.setdefault(_goals(looker, one), []).append(place)
    found: list[Resolved | None] = [None] * len(asked)

    async def look(goals: Goals, places: list[int]) -> None:
        some = await _look(looker, goals, [asked[place] for place in places], deadline_at)
        for place, one in zip(places, some, strict=True):
            found[place] = one

    await all_of([look(goals, places) for goals, places in groups.items()])
    return [one for one in found if one is not None]


def _goals(looker: Looker, one: Wanted) -> Goals:
    """What is to be looked for; what the request gives is not fetched, nor what is shared with others."""
    declared, context = looker.declared, one.request.context
    goals = declared.goals
    if not context.keys().isdisjoint(goals):
        goals = tuple([goal for goal in goals if goal not in context])
    shares = one.first is not None and one.first.wave is not None and not one.arms.given
    return goals, looker.shared.division.own_arm_goals if shares and looker.shared else declared.arm_goals


async def _look(looker: Looker, wanted: Goals, asked: Sequence[Wanted], deadline_at: float) -> list[Resolved]:
    goals, arm_goals = wanted
    if not goals and not looker.declared.arm_goals:
        return [one.known() for one in asked]
    shared = await _shared(looker, asked)
    now = looker.loop_time()
    resolved = await looker.declared.graph.resolve_all(
        (*goals, *arm_goals),
        given=[_given(looker, one) for one in asked],
        deadlines=[_left_s(one, now, deadline_at) for one in asked],
        common=looker.lasting,
    )
    looker.mishaps.look_at_all(resolved, [one.request for one in asked])
    told = resolved.plainly((*goals, *arm_goals))
    found: list[Resolved] = []
    for place, (one, of_all) in enumerate(zip(asked, shared, strict=True)):
        plain = None if told is None else _plainly(one, wanted, [column[place] for column in told], of_all)
        found.append(plain or _closely(one, wanted, resolved[place], of_all))
        looker.mishaps.unusable(found[-1].outcomes)
    return found


async def _shared(looker: Looker, asked: Sequence[Wanted]) -> list[ArmFeatures]:
    """Of arms: what everybody with the same arms is told."""
    if looker.shared is None:
        return [NO_ARM_FEATURES] * len(asked)
    found: dict[tuple[int, int], ArmFeatures] = {}
    told = []
    for one in asked:
        wave = None if one.first is None or one.arms.given else one.first.wave
        of = id(wave), id(one.arms)  # both are alive as long as ``asked`` is
        if of not in found:
            found[of] = NO_ARM_FEATURES if wave is None else await wave.arm_features(one.arms)
        told.append(found[of])
    return told


def _given(looker: Looker, one: Wanted) -> dict[str, object]:
    first = one.first
    given = looker.inputs(one.request, one.arms) if first is None else {**first.given, **first.carried}
    if ARMS in looker.declared.graph.inputs:
        given[ARMS] = one.arms.ids
    return given


def _left_s(one: Wanted, now: float, deadline_at: float) -> float:
    left_s = (deadline_at - now) * FETCH_SHARE if one.first is None else one.first.fetch_until - now
    return max(left_s, 0.0)


def _plainly(one: Wanted, wanted: Goals, values: Sequence[object], of_all: ArmFeatures) -> Resolved | None:
    """The features as they are scored, of a run that went well; None: its arms need a closer look."""
    goals, arm_goals = wanted
    own = NO_ARM_FEATURES
    if arm_goals:
        plain = None if one.arms.given else plain_columns(arm_goals, values[len(goals) :], len(one.arms.ids))
        if plain is None:
            return None
        own = plain
    context, outcomes = _known(one)
    context.update(plain_features(goals, values[: len(goals)], outcomes))
    return _with_arms(context, outcomes, together(of_all, own))


def _closely(one: Wanted, wanted: Goals, found: Resolution, of_all: ArmFeatures) -> Resolved:
    """The same of any run."""
    goals, arm_goals = wanted
    context, outcomes = _known(one)
    context.update(features(found, goals, outcomes))
    return _with_arms(context, outcomes, together(of_all, arm_features(found, arm_goals, one.arms)))


def _known(one: Wanted) -> tuple[Features, dict[str, str]]:
    """What the request gives, and how that and the rules were had."""
    context: Features = dict(one.request.context)
    outcomes = dict.fromkeys(context, GIVEN)
    if one.first is not None:
        outcomes.update(one.first.outcomes)
    return context, outcomes


def _with_arms(context: Features, outcomes: dict[str, str], arms: ArmFeatures) -> Resolved:
    outcomes.update(arms.outcomes)
    return Resolved(context, outcomes, arms.columns, arms.by_arm)
