"""The first look at the feature graph: its cheap rules, asked before anything dear is fetched.

What is the same for everybody is found out together with everybody, as long as it comes in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from decision_service.batcher import within
from decision_service.feature_module import FETCH_SHARE, FIRST_LOOK_SHARE
from decision_service.looks import FirstLook, Looker
from decision_service.plain_rules import Asked, looks_of
from decision_service.prepolicy import Eligible
from decision_service.rule_values import NOT_ELIGIBLE, Answers, answers, exclusions, reasons
from decision_service.shared_look import SharedLook, Wave, is_for_all
from decision_service.side_by_side import all_of, in_order
from feature_graph import Outcome, Resolution

Known = Sequence[dict[str, Outcome[object]]]
"""What was found out for each before, so that nothing is asked twice."""


async def look_first(looker: Looker, asked: Asked, deadline_at: float) -> list[FirstLook]:
    """Ask the application's rules, which get a small share of the time until ``deadline_at``."""
    now = looker.loop_time()
    fetch_until = now + max(deadline_at - now, 0.0) * FETCH_SHARE
    groups = _groups(looker, asked)
    if len(groups) == 1:
        return await _look(looker, asked, deadline_at, fetch_until)
    some = [[asked[place] for place in places] for places in groups]
    return in_order(groups, await all_of([_look(looker, one, deadline_at, fetch_until) for one in some]))


def _groups(looker: Looker, asked: Asked) -> list[list[int]]:
    """Places of those who may be given the whole catalogue, and of those who have nothing in common."""
    if len({id(candidates) for _, candidates in asked}) == 1:
        return [[*range(len(asked))]]
    groups: dict[int, list[int]] = {}
    for place, (_, candidates) in enumerate(asked):
        for_all = looker.shared is not None and is_for_all(candidates)
        groups.setdefault(id(candidates.ids) if for_all else 0, []).append(place)
    return [*groups.values()]


async def _look(looker: Looker, asked: Asked, deadline_at: float, fetch_until: float) -> list[FirstLook]:
    """At requests of one group."""
    shared = looker.shared if is_for_all(asked[0][1]) else None
    left_s = max(deadline_at - looker.loop_time(), 0.0) * FIRST_LOOK_SHARE
    if shared is not None and looker.at_once:
        return await _at_once(looker, shared, asked, left_s, fetch_until)
    known: Known = [{} for _ in asked]
    if shared is not None:
        try:
            return await _with_others(looker, shared, asked, known, left_s, fetch_until)
        except TimeoutError:
            left_s = max(deadline_at - looker.loop_time(), 0.0) * FIRST_LOOK_SHARE
    return await _alone(looker, asked, known, left_s, fetch_until)


async def _alone(
    looker: Looker, asked: Asked, known: Known, left_s: float, fetch_until: float
) -> list[FirstLook]:
    declared = looker.declared
    given = [looker.inputs(request, candidates) for request, candidates in asked]
    resolved = await declared.graph.resolve_all(
        declared.rules,
        given=[inputs | before if before else inputs for inputs, before in zip(given, known, strict=True)],
        deadlines=[left_s] * len(asked),
        common=looker.lasting,
    )
    looks = []
    for (request, candidates), inputs, found in zip(asked, given, resolved, strict=True):
        looker.mishaps.look(found, request)
        looks.append(_closely(looker, candidates, inputs, found, fetch_until))
    return looks


async def _at_once(
    looker: Looker, shared: SharedLook, asked: Asked, left_s: float, fetch_until: float
) -> list[FirstLook]:
    """One run for each, in which what is the same for all of them is found out once."""
    about_arms = looker.about_arms(asked[0][1])
    given = looker.of_requests([request for request, _ in asked])
    resolved = await looker.declared.graph.resolve_all(
        looker.declared.rules,
        given=given,
        deadlines=[left_s] * len(asked),
        common={**looker.lasting, **about_arms},
    )
    looker.mishaps.look_at_all(resolved, [request for request, _ in asked])
    looks = looks_of(looker, shared, asked, given, resolved, fetch_until)
    if looks is not None:
        return looks
    whole = next((found for found in resolved if found.whole), None)
    wave = None if whole is None else shared.wave_of(asked[0][1], whole)
    return [
        _closely(looker, candidates, inputs | about_arms, found, fetch_until, wave if found.whole else None)
        for (_, candidates), inputs, found in zip(asked, given, resolved, strict=True)
    ]


def _closely(
    looker: Looker,
    candidates: Eligible,
    given: dict[str, object],
    found: Resolution,
    fetch_until: float,
    wave: Wave | None = None,
) -> FirstLook:
    """What comes of any run."""
    excluded, outcomes = exclusions({rule: reasons(found, rule) for rule in looker.declared.first_look})
    answered, more = _heard(looker, found, candidates, excluded)
    carried = found.carried(looker.carried, looker.declared.everything)
    return FirstLook(excluded, answered, outcomes | more, given, carried, fetch_until, wave)


async def _with_others(
    looker: Looker, shared: SharedLook, asked: Asked, known: Known, left_s: float, fetch_until: float
) -> list[FirstLook]:
    """The first looks, the part of them that is the same for everybody together with everybody.

    What the other part comes to is made ``known``, so that nothing is asked twice.

    Raises:
        TimeoutError: the common part did not come in time.
    """
    declared, division, began = looker.declared, shared.division, looker.loop_time()
    coming = shared.join(asked[0][1])
    lent = (await within(coming, left_s)).lent if division.lent_at_once else {}
    given = [looker.inputs(request, candidates) | lent for request, candidates in asked]
    resolved: Sequence[Resolution | None] = [None] * len(asked)
    if division.own:
        resolved = await declared.graph.resolve_all(
            division.own, given=given, deadlines=[left_s] * len(asked), common=looker.lasting
        )
    try:
        wave = await within(coming, left_s - (looker.loop_time() - began))
    except TimeoutError:
        for before, found in zip(known, resolved, strict=True):
            before.update(found.settled if found else {})
        raise
    looks = []
    for (request, candidates), inputs, found in zip(asked, given, resolved, strict=True):
        said, carried = wave.said, wave.lent
        answered: Answers = ()
        more: dict[str, str] = {}
        if found is not None:
            looker.mishaps.look(found, request)
            said = {**said, **{rule: reasons(found, rule) for rule in division.own_rules}}
            carried = {**carried, **found.carried(looker.carried, declared.everything)}
        excluded, outcomes = exclusions({rule: said[rule] for rule in declared.first_look})
        if found is not None and declared.answers:
            answered, more = _heard(looker, found, candidates, excluded)
        looks.append(FirstLook(excluded, answered, outcomes | more, inputs, carried, fetch_until, wave))
    return looks


def _heard(
    looker: Looker, found: Resolution, candidates: Eligible, excluded: Mapping[str, str]
) -> tuple[Answers, dict[str, str]]:
    """What answering rules say, and how that was had; who answers with nothing eligible is not heard."""
    said, outcomes = answers(found, looker.declared.answers)
    if not said:
        return said, outcomes
    allowed = set(candidates.ids) - excluded.keys()
    heard = tuple([(rule, arms) for rule, arms in said if not allowed.isdisjoint(arms)])
    for rule, arms in said:
        if allowed.isdisjoint(arms):
            outcomes[rule] = NOT_ELIGIBLE
            if candidates.shelf.place.keys().isdisjoint(arms) and set(candidates.ids).isdisjoint(arms):
                looker.mishaps.unheard(rule, arms)
    return heard, outcomes
