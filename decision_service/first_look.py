"""The first look at the feature graph: its cheap rules, asked before anything dear is fetched.

What is the same for everybody is found out together with everybody, as long as it comes in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from decision_service.api.recommendations import RecommendationRequest
from decision_service.batcher import within
from decision_service.feature_module import FETCH_SHARE, FIRST_LOOK_SHARE
from decision_service.looks import FirstLook, Looker
from decision_service.prepolicy import Eligible
from decision_service.rule_values import NOT_ELIGIBLE, Answers, answers, exclusions, reasons
from decision_service.shared_look import SharedLook, is_for_all
from decision_service.side_by_side import all_of
from feature_graph import Outcome, Resolution


class _Look(Struct):
    """At one request."""

    request: RecommendationRequest
    candidates: Eligible
    given: dict[str, object]
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
    looks = [_Look(request, candidates, looker.inputs(request, candidates)) for request, candidates in asked]
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
    if for_all and looker.shared is not None:
        try:
            left_s = max(deadline_at - looker.loop_time(), 0.0) * FIRST_LOOK_SHARE
            await _with_others(looker, looker.shared, looks, left_s, fetch_until)
        except TimeoutError:
            pass
        else:
            return
    left_s = max(deadline_at - looker.loop_time(), 0.0) * FIRST_LOOK_SHARE
    await _alone(looker, looks, left_s, fetch_until)


async def _alone(looker: Looker, looks: Sequence[_Look], left_s: float, fetch_until: float) -> None:
    declared = looker.declared
    given = [{**look.given, **look.known} if look.known else look.given for look in looks]
    resolved = await declared.graph.resolve_all(declared.rules, given=given, deadlines=[left_s] * len(looks))
    for look, found in zip(looks, resolved, strict=True):
        looker.mishaps.look(found, look.request)
        excluded, outcomes = exclusions({rule: reasons(found, rule) for rule in declared.first_look})
        answered, more = _heard(looker, found, look.candidates, excluded)
        carried = found.carried(looker.carried, declared.everything)
        look.first = FirstLook(excluded, answered, outcomes | more, look.given, carried, fetch_until)


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
            division.own, given=given, deadlines=[left_s] * len(looks)
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
