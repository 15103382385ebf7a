"""The first look at the feature graph: its cheap rules, asked before anything dear is fetched.

What is the same for everybody is found out together with everybody, as long as it comes in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from decision_service.api.recommendations import RecommendationRequest
from decision_service.batcher import within
from decision_service.feature_module import FETCH_SHARE, FIRST_LOOK_SHARE
from decision_service.feature_values import OK
from decision_service.looks import FirstLook, Looker
from decision_service.prepolicy import Eligible
from decision_service.rule_values import NOT_ELIGIBLE, Answers, answers, exclusions, reasons, reasons_of
from decision_service.shared_look import SharedLook, Wave, is_for_all
from decision_service.side_by_side import all_of
from feature_graph import Outcome, Resolution, Resolutions


class _Look(Struct):
    """At one request."""

    request: RecommendationRequest
    candidates: Eligible
    given: dict[str, object]
    """The graph's inputs, but those that last, and those about arms."""
    known: dict[str, Outcome[object]] = {}
    """What was found out before, so that nothing is asked twice."""
    first: FirstLook | None = None
    """What comes of it."""


async def look_first(
    looker: Looker, asked: Sequence[tuple[RecommendationRequest, Eligible]], deadline_at: float
) -> list[FirstLook]:
    """Ask the application's rules, which get a small share of the time until ``deadline_at``."""
    now = looker.loop_time()
    fetch_until = now + max(deadline_at - now, 0.0) * FETCH_SHARE
    looks = [_Look(request, candidates, looker.of_request(request)) for request, candidates in asked]
    groups: dict[int, list[_Look]] = {}
    for look in looks:
        for_all = looker.shared is not None and is_for_all(look.candidates)
        groups.setdefault(id(look.candidates.ids) if for_all else 0, []).append(look)
    await all_of([_look(looker, one, key != 0, deadline_at, fetch_until) for key, one in groups.items()])
    return [look.first for look in looks if look.first is not None]


async def _look(
    looker: Looker, looks: Sequence[_Look], for_all: bool, deadline_at: float, fetch_until: float
) -> None:
    """At requests that have the same candidates, or nothing in common."""
    if for_all and looker.shared is not None and looker.at_once:
        left_s = max(deadline_at - looker.loop_time(), 0.0) * FIRST_LOOK_SHARE
        await _at_once(looker, looker.shared, looks, left_s, fetch_until)
        return
    if for_all and looker.shared is not None:
        for look in looks:
            look.given |= looker.about_arms(look.candidates)
        try:
            left_s = max(deadline_at - looker.loop_time(), 0.0) * FIRST_LOOK_SHARE
            await _with_others(looker, looker.shared, looks, left_s, fetch_until)
        except TimeoutError:
            pass
        else:
            return
    for look in looks:
        look.given |= looker.about_arms(look.candidates)
    left_s = max(deadline_at - looker.loop_time(), 0.0) * FIRST_LOOK_SHARE
    await _alone(looker, looks, left_s, fetch_until)


async def _alone(looker: Looker, looks: Sequence[_Look], left_s: float, fetch_until: float) -> None:
    declared = looker.declared
    given = [{**look.given, **look.known} if look.known else look.given for look in looks]
    resolved = await declared.graph.resolve_all(
        declared.rules, given=given, deadlines=[left_s] * len(looks), common=looker.lasting
    )
    for look, found in zip(looks, resolved, strict=True):
        looker.mishaps.look(found, look.request)
        excluded, outcomes = exclusions({rule: reasons(found, rule) for rule in declared.first_look})
        answered, more = _heard(looker, found, look.candidates, excluded)
        carried = found.carried(looker.carried, declared.everything)
        look.first = FirstLook(excluded, answered, outcomes | more, look.given, carried, fetch_until)


async def _at_once(
    looker: Looker, shared: SharedLook, looks: Sequence[_Look], left_s: float, fetch_until: float
) -> None:
    """One run for each, in which what is the same for all of them is found out once."""
    candidates = looks[0].candidates
    about_arms = looker.about_arms(candidates)
    resolved = await looker.declared.graph.resolve_all(
        looker.declared.rules,
        given=[look.given for look in looks],
        deadlines=[left_s] * len(looks),
        common={**looker.lasting, **about_arms},
    )
    looker.mishaps.look_at_all(resolved, [look.request for look in looks])
    if _take_plainly(looker, shared, looks, resolved, fetch_until):
        return
    wave: Wave | None = None
    for look, found in zip(looks, resolved, strict=True):
        look.given |= about_arms
        if wave is None and found.whole:
            wave = shared.wave_of(candidates, found)
        excluded, outcomes = exclusions({rule: reasons(found, rule) for rule in looker.declared.first_look})
        answered, more = _heard(looker, found, look.candidates, excluded)
        carried = found.carried(looker.carried, looker.declared.everything)
        mine = wave if found.whole else None
        look.first = FirstLook(excluded, answered, outcomes | more, look.given, carried, fetch_until, mine)


def _take_plainly(
    looker: Looker, shared: SharedLook, looks: Sequence[_Look], resolved: Resolutions, fetch_until: float
) -> bool:
    """What comes of runs that all went well, column by column; False: one of them needs a closer look."""
    own, names = shared.division.own_rules, looker.carried_plainly
    told = None if looker.declared.answers or names is None else resolved.plainly((*own, *names))
    if told is None or names is None:
        return False
    wave = shared.wave_of(looks[0].candidates, resolved[0])
    rules = looker.declared.first_look
    about_arms = looker.about_arms(looks[0].candidates) if looker.about_later else {}
    of_all = exclusions({rule: wave.said.get(rule) or (OK, {}) for rule in rules})
    for place, look in enumerate(looks):
        values = [column[place] for column in told]
        said = {rule: reasons_of(value, rule) for rule, value in zip(own, values, strict=False)}
        alike = all(how == OK and not why for how, why in said.values())
        excluded, outcomes = (
            of_all if alike else exclusions({rule: (wave.said | said)[rule] for rule in rules})
        )
        carried = dict(zip(names, values[len(own) :], strict=True))
        given = look.given | about_arms if about_arms else look.given
        look.first = FirstLook(excluded, (), outcomes, given, carried, fetch_until, wave)
    return True


async def _with_others(
    looker: Looker, shared: SharedLook, looks: Sequence[_Look], left_s: float, fetch_until: float
) -> None:
    """The first looks, the part of them that is the same for everybody together with everybody.

    What the other part comes to is made known, so that nothing is asked twice.

    Raises:
        TimeoutError: the common part did not come in time.
    """
    declared, division, began = looker.declared, shared.division, looker.loop_time()
    coming = shared.join(looks[0].candidates)
    lent = (await within(coming, left_s)).lent if division.lent_at_once else {}
    resolved: Sequence[Resolution | None] = [None] * len(looks)
    if division.own:
        given = [{**look.given, **lent} if lent else look.given for look in looks]
        resolved = await declared.graph.resolve_all(
            division.own, given=given, deadlines=[left_s] * len(looks), common=looker.lasting
        )
    try:
        wave = await within(coming, left_s - (looker.loop_time() - began))
    except TimeoutError:
        for look, found in zip(looks, resolved, strict=True):
            look.known = found.settled if found else {}
        raise
    for look, found in zip(looks, resolved, strict=True):
        said, carried = wave.said, wave.lent
        answered: Answers = ()
        more: dict[str, str] = {}
        if found is not None:
            looker.mishaps.look(found, look.request)
            said = {**said, **{rule: reasons(found, rule) for rule in division.own_rules}}
            carried = {**carried, **found.carried(looker.carried, declared.everything)}
        excluded, outcomes = exclusions({rule: said[rule] for rule in declared.first_look})
        if found is not None and declared.answers:
            answered, more = _heard(looker, found, look.candidates, excluded)
        given_to = {**look.given, **lent} if lent else look.given
        look.first = FirstLook(excluded, answered, outcomes | more, given_to, carried, fetch_until, wave)


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
