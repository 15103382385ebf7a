"""Decisions, stage by stage: the story of this process.

Prepare, ask the application's rules who is eligible, fetch features, score, make probabilities of the scores,
draw, log, answer. Requests that come together go through it together: each stage is done for all of them
before the next one is, and what is asked of somebody else is asked once for all. What is refused is refused
to one of them, and changes nothing for the others.

Whatever fails between the request and the draw, an answer comes: the backstop is a policy like any other,
with a true probability; what the store does not take in time is written down beside us.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import structs

from decision_service.api.recommendations import RecommendationRequest
from decision_service.budget import Budget, budget_of
from decision_service.case import Case, Outcome, apart, each
from decision_service.choice import choose
from decision_service.decided_event import event_of, slots_asked
from decision_service.decider import Decider
from decision_service.digests import kept_as
from decision_service.event_log import ToLog
from decision_service.looks import Wanted
from decision_service.meetings import meeting_of, usable
from decision_service.plan import is_logged, prepare
from decision_service.prepolicy import only, without
from decision_service.rendezvous import named
from decision_service.repeating import answer, repeat
from decision_service.scored import by_rule
from decision_service.side_by_side import all_of
from sidecar.policy.sampling import coin_of
from sidecar.policy.slots import with_slots

if TYPE_CHECKING:
    from decision_service.tracing import DecisionTrace


async def decide(
    decider: Decider,
    requests: Sequence[RecommendationRequest],
    began_s: float | None = None,
    traces: Sequence[DecisionTrace | None] = (),
    fetched: Callable[[], None] | None = None,
) -> list[Outcome]:
    """Choose an arm for each of ``requests``, log the decisions, and say what became of each, in their order.

    They have one deadline, that of the first, from ``began_s`` on the loop's clock. When their features are
    there ``fetched`` is called. Outcomes that are no answers: ``BadRequest``, the arms or the key cannot be
    used; ``NothingEligible``, every arm is excluded; ``KeyReused``, the client's key had another body.
    """
    began_s = decider.loop_time() if began_s is None else began_s
    budget = budget_of(began_s, requests[0].deadline_ms or decider.deadline_ms)
    cases = [Case(request) for request in requests]
    for case, traced in zip(cases, traces, strict=False):
        case.traced = traced
    going: Sequence[Case] = each(cases, partial(planned, decider))
    going = await eligible(decider, going, budget)
    going = await featured(decider, going, budget)
    if fetched is not None:
        fetched()
    going = await scored(decider, going, budget)
    going = each(going, partial(drawn, decider))
    going = each(going, partial(recorded, decider))
    going = await logged(decider, going, budget)
    await answered(decider, going, budget)
    outcomes = [case.outcome or RuntimeError("a request was forgotten") for case in cases]
    if decider.lines is not None:
        decider.lines.tell(outcomes, began_s)
    return outcomes


def planned(decider: Decider, case: Case) -> None:
    """Fix the id and the arms that the request allows."""
    case.plan = prepare(decider, case.request)


@apart
async def eligible(decider: Decider, cases: Sequence[Case], budget: Budget) -> Sequence[Case]:
    """Ask the application's rules, and take out what they exclude."""
    asked = [(case.request, case.plan.eligible) for case in cases]
    looks = await decider.features.first_looks(asked, budget.deadline_at)
    for case, first in zip(cases, looks, strict=True):
        case.first = first
    return each(cases, partial(pre_policy, decider))


def pre_policy(decider: Decider, case: Case) -> None:
    """Take out what rules exclude; what one of them answers at once needs no model.

    Raises:
        NothingEligible: they exclude every arm.
    """
    plan, first, request = case.plan, case.first, case.request
    if first is None or not (first.excluded or first.answers):
        return
    left = without(plan.eligible, first.excluded)
    decider.telemetry.excluded(len(plan.eligible.ids) - len(left.ids))
    for rule, arms in first.answers:
        if (answers := only(left, arms)) is not None:
            share = plan.share * decider.application.rules.log_share
            kept = is_logged(decider, request, plan.decision_id, share)
            plan.eligible, plan.rule, plan.share, plan.logged = answers, rule, share, kept
            case.found, case.scored = first.alone(request), by_rule(rule, len(answers.ids))
            case.is_open = False
            return
    plan.eligible = left


@apart
async def featured(decider: Decider, cases: Sequence[Case], budget: Budget) -> Sequence[Case]:
    """Fetch the features of those that a model is to score, and say how each explores: by its segment."""
    open_ = [case for case in cases if case.is_open]
    asked = [Wanted(case.request, case.plan.eligible, case.first) for case in open_]
    resolved = await decider.features.resolve_all(asked, budget.deadline_at) if asked else ()
    for case, found in zip(open_, resolved, strict=True):
        case.found = found
        case.plan.explores = decider.explore(found.context, case.plan.unit_id)
    return cases


@apart
async def scored(decider: Decider, cases: Sequence[Case], budget: Budget) -> Sequence[Case]:
    """The models' scores, or the backstop's where none come in time."""
    open_ = [case for case in cases if case.is_open]
    if not open_:
        return cases
    left_s = budget.score_by - decider.loop_time()
    said = await decider.models.meet_all([meeting_of(decider, case) for case in open_], left_s)
    for case, what in zip(open_, said, strict=True):
        case.scored = usable(decider, case, what)
    return cases


def drawn(decider: Decider, case: Case) -> None:
    """Make probabilities of the scores, and draw."""
    case.pmf, case.choice = choose(decider, case.plan, case.scored)


def recorded(decider: Decider, case: Case) -> None:
    """All that was seen and done, as an event; with the further slots, if the request has some."""
    official = case.scored
    if official.candidates:
        official = named(official, case.choice.index, coin_of(case.plan.decision_id, decider.secret))
    event = event_of(decider, case.request, case.plan, case.found, official, case.choice)
    if case.traced is not None:
        event = structs.replace(event, trace=case.traced.word)
    case.event = with_slots(event, case.plan.eligible.ids, slots_asked(case.request))


@apart
async def logged(decider: Decider, cases: Sequence[Case], budget: Budget) -> Sequence[Case]:
    """Have the decisions written down before anybody hears of them. One that is told twice is logged once."""
    sessions, left_s = decider.application.sessions, budget.log_time_left(decider.loop_time())
    asked = [ToLog(case.event, case.plan.logged, kept_as(sessions, case.request)) for case in cases]
    decided = await decider.log.append_all(asked, left_s) if asked else ()
    for case, one in zip(cases, decided, strict=True):
        case.decided = one
    return cases


async def answered(decider: Decider, cases: Sequence[Case], budget: Budget) -> None:
    """What each caller is told; for a repeated key, what it was told the first time."""
    told = each(cases, partial(answer, decider))
    if again := [case for case in told if case.outcome is None]:
        left_s = budget.log_time_left(decider.loop_time())
        await all_of([repeat(decider, case, left_s) for case in again])
