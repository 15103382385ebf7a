"""The only look at the feature graph, or the second, which goes on from the first: what is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decision_service.arm_values import NO_ARM_FEATURES, ArmFeatures, arm_features, put_columns, together
from decision_service.feature_module import ARMS, FETCH_SHARE
from decision_service.feature_values import GIVEN, OK, UNUSABLE, features, put_features
from decision_service.looks import Looker, Resolved, Wanted
from decision_service.side_by_side import all_of, in_order
from feature_graph import Resolution, Resolutions
from sidecar.contracts.application import Features

Goals = tuple[tuple[str, ...], tuple[str, ...]]
"""Of the context, and of arms."""
_NOTHING_SAID: dict[str, str] = {}


async def look_on(looker: Looker, asked: Sequence[Wanted], deadline_at: float) -> list[Resolved]:
    """The features of all that was asked; those that want the same nodes share a look."""
    groups = _groups(looker, asked)
    if len(groups) == 1:
        return await _look(looker, next(iter(groups)), asked, deadline_at)
    some = [(goals, [asked[place] for place in places]) for goals, places in groups.items()]
    return in_order(groups.values(), await all_of([_look(looker, *one, deadline_at) for one in some]))


def _groups(looker: Looker, asked: Sequence[Wanted]) -> dict[Goals, list[int]]:
    """Places by what is to be looked for; what the request gives is not fetched, nor what others share."""
    declared = looker.declared
    own = looker.shared.division.own_arm_goals if looker.shared else declared.arm_goals
    groups: dict[Goals, list[int]] = {}
    for place, one in enumerate(asked):
        goals, context = declared.goals, one.request.context
        if not context.keys().isdisjoint(goals):
            goals = tuple([goal for goal in goals if goal not in context])
        shares = one.first is not None and one.first.wave is not None and not one.arms.given
        groups.setdefault((goals, own if shares else declared.arm_goals), []).append(place)
    return groups


async def _look(looker: Looker, wanted: Goals, asked: Sequence[Wanted], deadline_at: float) -> list[Resolved]:
    goals, arm_goals = wanted
    if not goals and not looker.declared.arm_goals:
        return [one.known() for one in asked]
    shared = await _shared(looker, asked)
    now = looker.loop_time()
    resolved = await looker.declared.graph.resolve_all(
        (*goals, *arm_goals),
        given=_given(looker, asked),
        deadlines=[_left_s(one, now, deadline_at) for one in asked],
        common=looker.lasting,
    )
    looker.mishaps.look_at_all(resolved, [one.request for one in asked])
    told = resolved.plainly((*goals, *arm_goals))
    if told is None:
        found = [_closely(*one, wanted) for one in zip(asked, resolved, shared, strict=True)]
    else:
        found = _plainly(asked, resolved, shared, wanted, told)
    looker.mishaps.unusable_of_all([one.outcomes for one in found])
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


def _given(looker: Looker, asked: Sequence[Wanted]) -> list[dict[str, object]]:
    given = [
        {**one.first.given, **one.first.carried} if one.first else looker.inputs(one.request, one.arms)
        for one in asked
    ]
    if ARMS in looker.declared.graph.inputs:
        for inputs, one in zip(given, asked, strict=True):
            inputs[ARMS] = one.arms.ids
    return given


def _left_s(one: Wanted, now: float, deadline_at: float) -> float:
    left_s = (deadline_at - now) * FETCH_SHARE if one.first is None else one.first.fetch_until - now
    return max(left_s, 0.0)


def _plainly(
    asked: Sequence[Wanted],
    resolved: Resolutions,
    shared: Sequence[ArmFeatures],
    wanted: Goals,
    told: Sequence[Sequence[Any]],
) -> list[Resolved]:
    """The features as they are scored, of runs that all went well, from a column of values a goal."""
    goals, arm_goals = wanted
    contexts: list[Features] = [one.request.context.copy() for one in asked]
    columns = [of_all.columns.copy() for of_all in shared]
    unusable = put_features(goals, told[: len(goals)], contexts)
    close = put_columns(arm_goals, told[len(goals) :], [one.arms for one in asked], columns)
    outcomes = _outcomes(asked, shared, wanted, unusable)
    by_arm = [of_all.by_arm for of_all in shared]
    found = [*map(Resolved, contexts, outcomes, columns, by_arm)]
    for place in close:
        found[place] = _closely(asked[place], resolved[place], shared[place], wanted)
    return found


def _outcomes(
    asked: Sequence[Wanted],
    shared: Sequence[ArmFeatures],
    wanted: Goals,
    unusable: Mapping[int, Sequence[str]],
) -> list[dict[str, str]]:
    """How all was had in runs that went well: one mapping for those who were told alike."""
    goals, arm_goals = wanted
    known: dict[tuple[object, ...], dict[str, str]] = {}
    found = []
    for place, (one, of_all) in enumerate(zip(asked, shared, strict=True)):
        said, bad = one.first.outcomes if one.first else _NOTHING_SAID, unusable.get(place, ())
        alike = id(said), id(of_all), *one.request.context, *bad  # no goal is in a context here
        outcomes = known.get(alike)
        if outcomes is None:
            of_goals = dict.fromkeys(goals, OK) | dict.fromkeys(bad, UNUSABLE)
            of_arms = of_all.outcomes | dict.fromkeys(arm_goals, OK)
            outcomes = dict.fromkeys(one.request.context, GIVEN) | said | of_goals | of_arms
            known[alike] = outcomes
        found.append(outcomes)
    return found


def _closely(one: Wanted, found: Resolution, of_all: ArmFeatures, wanted: Goals) -> Resolved:
    """The same of any run."""
    goals, arm_goals = wanted
    context: Features = one.request.context.copy()
    outcomes = dict.fromkeys(context, GIVEN)
    if one.first is not None:
        outcomes.update(one.first.outcomes)
    context.update(features(found, goals, outcomes))
    arms = together(of_all, arm_features(found, arm_goals, one.arms))
    outcomes.update(arms.outcomes)
    return Resolved(context, outcomes, arms.columns, arms.by_arm)
