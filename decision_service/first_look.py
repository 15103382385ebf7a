"""The first look at the feature graph: its cheap rules, asked before anything dear is fetched.

What is the same for everybody is found out together with everybody, as long as it comes in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from decision_service.api.recommendations import RecommendationRequest
from decision_service.batcher import within
from decision_service.feature_module import FETCH_SHARE, FIRST_LOOK_SHARE
from decision_service.looks import FirstLook, Looker
from decision_service.prepolicy import Eligible
from decision_service.rule_values import NOT_ELIGIBLE, Answers, answers, exclusions, reasons
from decision_service.shared_look import SharedLook, is_for_all
from feature_graph import Outcome, Resolution


async def look_first(
    looker: Looker, request: RecommendationRequest, candidates: Eligible, deadline_at: float
) -> FirstLook:
    """Ask the application's rules, which get a small share of the time until ``deadline_at``."""
    declared, now = looker.declared, looker.loop_time()
    left_s = max(deadline_at - now, 0.0)
    fetch_until = now + left_s * FETCH_SHARE
    given = looker.inputs(request, candidates)
    known: dict[str, Outcome[object]] = {}
    if looker.shared is not None and is_for_all(candidates):
        with suppress(TimeoutError):
            share_s = left_s * FIRST_LOOK_SHARE
            return await _with_others(looker, looker.shared, candidates, given, share_s, fetch_until, known)
        left_s = max(deadline_at - looker.loop_time(), 0.0)
    found = await declared.graph.resolve(
        declared.rules, given={**given, **known}, deadline=left_s * FIRST_LOOK_SHARE
    )
    looker.mishaps.look(found)
    excluded, outcomes = exclusions({rule: reasons(found, rule) for rule in declared.first_look})
    answered, more = _heard(looker, found, candidates, excluded)
    carried = found.carried(looker.carried, declared.everything)
    return FirstLook(excluded, answered, outcomes | more, given, carried, fetch_until)


async def _with_others(
    looker: Looker,
    shared: SharedLook,
    candidates: Eligible,
    given: dict[str, object],
    left_s: float,
    fetch_until: float,
    known: dict[str, Outcome[object]],
) -> FirstLook:
    """The first look, the part of it that is the same for everybody together with everybody.

    What the other part comes to is put into ``known``, so that nothing is asked twice.

    Raises:
        TimeoutError: the common part did not come in time.
    """
    declared, division, began = looker.declared, shared.division, looker.loop_time()
    coming = shared.join(candidates)
    if division.lent_at_once:
        given = {**given, **(await within(coming, left_s)).lent}
    carried: dict[str, object] = {}
    said: dict[str, tuple[str, dict[str, str]]] = {}
    answered: Answers = ()
    more: dict[str, str] = {}
    found: Resolution | None = None
    if division.own:
        found = await declared.graph.resolve(division.own, given=given, deadline=left_s)
        looker.mishaps.look(found)
        said = {rule: reasons(found, rule) for rule in division.own_rules}
        carried = found.carried(looker.carried, declared.everything)
    try:
        wave = await within(coming, left_s - (looker.loop_time() - began))
    except TimeoutError:
        known.update(found.settled if found else {})
        raise
    said |= wave.said
    excluded, outcomes = exclusions({rule: said[rule] for rule in declared.first_look})
    if found:
        answered, more = _heard(looker, found, candidates, excluded)
    lent = wave.lent | carried
    return FirstLook(excluded, answered, outcomes | more, given, lent, fetch_until, wave)


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
