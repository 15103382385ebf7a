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
from contextlib import asynccontextmanager

from decision_service.api.recommendations import RecommendationRequest
from decision_service.arm_values import NO_ARM_FEATURES, arm_features, together
from decision_service.feature_module import (
    ARMS,
    FETCH_SHARE,
    Declared,
    Surroundings,
    clients_of,
    load_features,
)
from decision_service.feature_values import GIVEN, feature
from decision_service.first_look import look_first
from decision_service.looks import FirstLook, Looker, Resolved, looker_of
from decision_service.mishaps import Count, Mishaps
from decision_service.prepolicy import Eligible
from decision_service.rules import Rules, with_rules
from feature_graph import Resolution
from sidecar.contracts.application import Features


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
        self._looker: Looker | None = None
        if declared is not None:
            self._looker = looker_of(declared, clients, loop_time, deadline_s, mishaps or Mishaps())

    async def first_look(
        self, request: RecommendationRequest, candidates: Eligible, deadline_at: float
    ) -> FirstLook | None:
        """Ask the application's rules; None where there are none: all is found out in one look then."""
        if self._looker is None or not self._looker.declared.rules:
            return None
        return await look_first(self._looker, request, candidates, deadline_at)

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
        looker, outcomes = self._looker, dict.fromkeys(request.context, GIVEN)
        if first is not None:
            outcomes.update(first.outcomes)
        if looker is None:
            return Resolved(request.context, outcomes)
        declared = looker.declared
        goals = [goal for goal in declared.goals if goal not in request.context]
        if not goals and not declared.arm_goals:
            return Resolved(request.context, outcomes)
        wave = first.wave if first and looker.shared and not arms.given else None
        shared = await wave.arm_features(arms) if wave else NO_ARM_FEATURES
        arm_goals = looker.shared.division.own_arm_goals if wave and looker.shared else declared.arm_goals
        found = await _look(looker, [*goals, *arm_goals], request, arms, deadline_at, first)
        context: Features = dict(request.context)
        for goal in goals:
            outcomes[goal], value = feature(found, goal)
            if value is not None:
                context[goal] = value
        fetched = together(shared, arm_features(found, arm_goals, arms))
        outcomes.update(fetched.outcomes)
        looker.mishaps.unusable(outcomes)
        return Resolved(context, outcomes, fetched.columns, fetched.by_arm)


async def _look(
    looker: Looker,
    goals: list[str],
    request: RecommendationRequest,
    arms: Eligible,
    deadline_at: float,
    first: FirstLook | None,
) -> Resolution:
    """The only look, or the second, which goes on from the first."""
    now = looker.loop_time()
    if first is None:
        given = looker.inputs(request, arms)
        left_s = (deadline_at - now) * FETCH_SHARE
    else:
        given = {**first.given, **first.carried}
        left_s = first.fetch_until - now
    if ARMS in looker.declared.graph.inputs:
        given[ARMS] = arms.ids
    found = await looker.declared.graph.resolve(goals, given=given, deadline=max(left_s, 0.0))
    looker.mishaps.look(found)
    return found


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
