"""Features: what the request gives, and what the application's graph fetches under the deadline.

An application that names ``features = "features.py"`` in its ``app.toml`` defines there:

- ``graph``: a ``feature_graph.Graph``. Its inputs may be

  - ``session_id``, ``unit_id``, and ``context``: the request's features as a mapping;
  - ``candidates``: ids of the arms that the request allows, in their order;
  - ``arms``: ids of those that are still eligible after the first look (without one: the candidates);
  - ``arm_features``: arm id to the features that the catalogue and the request give it, as a mapping;
  - whatever ``clients`` yields. Any other input is the feature of that name in the request's context, or
    None.
- ``goals``: names of the nodes that become context features. A value is text, a number or a boolean; None is
  no feature.
- ``arm_goals``: names of the nodes that become features of single arms. A value is a list with an entry for
  each of ``arms``, in their order, as ``each(..., over="arms")`` makes it: text, a number or a boolean, which
  becomes the feature of the node's name; or a mapping of names to those; or None for no feature. They lie
  over the catalogue's features and under those that the request gives an arm.
- ``first_look``: names of nodes that say which candidates must not be chosen: a mapping of arms to reasons,
  or a list or set of arms, whose reason is then the node's name. The graph is asked for them first, what they
  exclude is logged with its reason, and the second look goes on from there: nothing is fetched twice. They
  may need cheap nodes only: one that may take more than a fifth of ``deadline_ms`` is refused at the start.
  A rule without a value excludes nothing: one that must hold whatever happens needs a fallback that excludes.
- ``clients``: an asynchronous context manager, entered once at the start of the process, that yields a
  mapping of names to what fetches need: connections, tables. It may take one argument, its
  :class:`Surroundings`: name and folder of the application, and the URL of the store.

``graph`` and one of the two kinds of goals are needed, the rest is optional. ``examples/shop`` uses it all.

A feature that the request itself gives is not fetched, and nodes that need it get the request's. A node that
fails leaves its feature out; one that says what cannot be a feature is ``unusable``; what became of each is
logged with the decision, since a default must never pass for an observation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from msgspec import Struct

from decision_service.api.recommendations import RecommendationRequest
from decision_service.batcher import within
from decision_service.feature_module import (
    ARMS,
    FETCH_SHARE,
    FIRST_LOOK_SHARE,
    Declared,
    Surroundings,
    clients_of,
    load_features,
)
from decision_service.feature_values import (
    GIVEN,
    NO_ARM_FEATURES,
    NOT_ELIGIBLE,
    Answers,
    answers,
    arm_features,
    exclusions,
    feature,
    reasons,
    together,
)
from decision_service.mishaps import Count, Mishaps
from decision_service.prepolicy import Eligible
from decision_service.rules import Rules, with_rules
from decision_service.shared_look import SharedLook, Wave, carried_over, divide, is_for_all
from feature_graph import Outcome, Resolution
from sidecar.contracts.application import Features
from sidecar.contracts.arm_features import Columns, Levels


class FirstLook(Struct, frozen=True):
    """What the rules say, and what was found out on the way."""

    excluded: dict[str, str]
    """Arm to reason."""
    answers: Answers
    """What may be answered at once."""
    outcomes: dict[str, str]
    """How each rule was had."""
    given: dict[str, object]
    """The graph's inputs."""
    carried: dict[str, object]
    """What the second look goes on from."""
    fetch_until: float
    """On the loop's clock: what fetching has for both looks."""
    wave: Wave | None = None
    """Where a part of it was found out for others too."""

    def alone(self, request: RecommendationRequest) -> Resolved:
        """All that is known where a rule answers, so that nothing more is looked for."""
        return Resolved(request.context, {**dict.fromkeys(request.context, GIVEN), **self.outcomes})


class Resolved(Struct, frozen=True):
    """All features as scored."""

    context: Features
    outcomes: dict[str, str]
    """How each feature was had; those of arms under the name of their node, and rules under theirs."""
    arm_features: Columns = {}
    arm_outcomes: dict[str, Levels] = {}
    """Node of per-arm features to how each arm's was had, where not all were had alike."""


class FeatureSource:
    """Makes features of requests. Without a graph the request's are all there are.

    Args:
        declared: what the application's file defines, if it has one.
        clients: values of the graph's inputs.
        loop_time: the clock of the deadlines, in seconds.
        deadline_s: of a request that names none.
        mishaps: hears what goes wrong.
    """

    def __init__(
        self,
        declared: Declared | None,
        clients: Mapping[str, object],
        loop_time: Callable[[], float],
        deadline_s: float,
        mishaps: Mishaps | None = None,
    ) -> None:
        self._declared = declared
        self._clients = clients
        self._loop_time = loop_time
        self._mishaps = mishaps or Mishaps()
        self._carried = carried_over(declared) if declared else ()
        division = divide(declared, frozenset(clients)) if declared else None
        self._shared = (
            SharedLook(division, declared.graph, clients, deadline_s, self._mishaps.look)
            if declared and division
            else None
        )

    async def first_look(
        self, request: RecommendationRequest, candidates: Eligible, deadline_at: float
    ) -> FirstLook | None:
        """Ask the application's rules, which get a small share of the time until ``deadline_at``.

        None where there are no rules: everything is found out in one look then.
        """
        declared, now = self._declared, self._loop_time()
        if declared is None or not declared.rules:
            return None
        left_s = max(deadline_at - now, 0.0)
        fetch_until = now + left_s * FETCH_SHARE
        given = self._given(declared, request, candidates)
        shared = self._shared
        known: dict[str, Outcome[object]] = {}
        if shared is not None and is_for_all(candidates):
            with suppress(TimeoutError):
                return await self._with_others(
                    shared, candidates, given, left_s * FIRST_LOOK_SHARE, fetch_until, known
                )
            left_s = max(deadline_at - self._loop_time(), 0.0)
        found = await declared.graph.resolve(
            declared.rules, given={**given, **known}, deadline=left_s * FIRST_LOOK_SHARE
        )
        self._mishaps.look(found)
        excluded, outcomes = exclusions({rule: reasons(found, rule) for rule in declared.first_look})
        answered, more = self._heard(found, declared, candidates, excluded)
        carried = found.carried(self._carried, declared.everything)
        return FirstLook(excluded, answered, outcomes | more, given, carried, fetch_until)

    async def _with_others(
        self,
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
            TimeoutError: that part did not come in time.
        """
        declared, division, began = self._declared, shared.division, self._loop_time()
        assert declared is not None
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
            self._mishaps.look(found)
            said = {rule: reasons(found, rule) for rule in division.own_rules}
            carried = found.carried(self._carried, declared.everything)
        try:
            wave = await within(coming, left_s - (self._loop_time() - began))
        except TimeoutError:
            known.update(found.settled if found else {})
            raise
        said |= wave.said
        excluded, outcomes = exclusions({rule: said[rule] for rule in declared.first_look})
        if found:
            answered, more = self._heard(found, declared, candidates, excluded)
        lent = wave.lent | carried
        return FirstLook(excluded, answered, outcomes | more, given, lent, fetch_until, wave)

    def _heard(
        self, found: Resolution, declared: Declared, candidates: Eligible, excluded: Mapping[str, str]
    ) -> tuple[Answers, dict[str, str]]:
        """What answering rules say, and how that was had; who answers with nothing eligible is not heard."""
        said, outcomes = answers(found, declared.answers)
        if not said:
            return said, outcomes
        allowed = set(candidates.ids) - excluded.keys()
        heard = tuple([(rule, arms) for rule, arms in said if not allowed.isdisjoint(arms)])
        for rule, arms in said:
            if allowed.isdisjoint(arms):
                outcomes[rule] = NOT_ELIGIBLE
                if candidates.shelf.place.keys().isdisjoint(arms) and set(candidates.ids).isdisjoint(arms):
                    self._mishaps.unheard(rule, arms)
        return heard, outcomes

    async def resolve(
        self,
        request: RecommendationRequest,
        arms: Eligible,
        deadline_at: float,
        first: FirstLook | None = None,
    ) -> Resolved:
        """The features of ``request`` and ``arms``, with what can be fetched by the deadline.

        Args:
            request: what was asked.
            arms: what may be chosen.
            deadline_at: on the loop's clock; fetching gets a share of what is left.
            first: the first look at the same request, if there was one.
        """
        declared = self._declared
        outcomes = dict.fromkeys(request.context, GIVEN)
        if first is not None:
            outcomes.update(first.outcomes)
        if declared is None:
            return Resolved(request.context, outcomes)
        goals = [goal for goal in declared.goals if goal not in request.context]
        if not goals and not declared.arm_goals:
            return Resolved(request.context, outcomes)
        wave = first.wave if first and self._shared and not arms.given else None
        shared = await wave.arm_features(arms) if wave else NO_ARM_FEATURES
        arm_goals = self._shared.division.own_arm_goals if wave and self._shared else declared.arm_goals
        found = await self._look(declared, [*goals, *arm_goals], request, arms, deadline_at, first)
        context: Features = dict(request.context)
        for goal in goals:
            outcomes[goal], value = feature(found, goal)
            if value is not None:
                context[goal] = value
        fetched = together(shared, arm_features(found, arm_goals, arms))
        outcomes.update(fetched.outcomes)
        self._mishaps.unusable(outcomes)
        return Resolved(context, outcomes, fetched.columns, fetched.by_arm)

    async def _look(
        self,
        declared: Declared,
        goals: list[str],
        request: RecommendationRequest,
        arms: Eligible,
        deadline_at: float,
        first: FirstLook | None,
    ) -> Resolution:
        """The only look, or the second, which goes on from the first."""
        now = self._loop_time()
        if first is None:
            given = self._given(declared, request, arms)
            left_s = (deadline_at - now) * FETCH_SHARE
        else:
            given = {**first.given, **first.carried}
            left_s = first.fetch_until - now
        if ARMS in declared.graph.inputs:
            given[ARMS] = arms.ids
        found = await declared.graph.resolve(goals, given=given, deadline=max(left_s, 0.0))
        self._mishaps.look(found)
        return found

    def _given(
        self, declared: Declared, request: RecommendationRequest, candidates: Eligible
    ) -> dict[str, object]:
        """The graph's inputs but ``arms``, and the request's features in place of nodes."""
        context = request.context
        own: dict[str, object] = {
            "session_id": request.session_id,
            "unit_id": request.unit_id or request.session_id,
            "context": context,
            "candidates": candidates.ids,
        }
        given: dict[str, object] = {goal: context[goal] for goal in declared.goals if goal in context}
        for name in declared.inputs:
            if name == "arm_features":
                given[name] = candidates.known
            elif name in own:
                given[name] = own[name]
            else:
                given[name] = self._clients.get(name, context.get(name))
        return given


@asynccontextmanager
async def open_features(
    around: Surroundings,
    file: str | None,
    deadline_s: float,
    loop_time: Callable[[], float],
    rules: Rules,
    count: Count,
) -> AsyncIterator[FeatureSource]:
    """The features of an application, with its clients open.

    Args:
        around: the application, its folder, and its store.
        file: name of the Python file that defines them; None for an application without.
        deadline_s: of a request that names none: the graph is checked against it.
        loop_time: the clock of the deadlines, in seconds.
        rules: the application's own, which join the graph.
        count: is told what goes wrong in nodes and rules.

    Raises:
        BadApplication: the file is not there, cannot be imported, or defines no such graph; a rule asks for
            what is not there.
    """
    if file is None:
        yield FeatureSource(with_rules(None, rules, deadline_s), {}, loop_time, deadline_s, Mishaps(count))
        return
    module, declared = load_features(around.folder / file, deadline_s)
    async with clients_of(module, around) as clients:
        yield FeatureSource(
            with_rules(declared, rules, deadline_s), clients, loop_time, deadline_s, Mishaps(count)
        )
