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
  :class:`Surroundings`: name and folder of the application, and the URLs of store and feature store.

``graph`` and one of the two kinds of goals are needed, the rest is optional. ``examples/shop`` uses it all.

A feature that the request itself gives is not fetched, and nodes that need it get the request's. A node that
fails leaves its feature out; one that says what cannot be a feature is ``unusable``; what became of each is
logged with the decision, since a default must never pass for an observation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from decision_service.api.recommendations import RecommendationRequest
from decision_service.feature_module import (
    Declared,
    Surroundings,
    clients_of,
    load_features,
)
from decision_service.first_look import look_first
from decision_service.looks import FirstLook, Looker, Resolved, Wanted, goes_together, looker_of
from decision_service.mishaps import Mishaps
from decision_service.prepolicy import Eligible
from decision_service.rules import Rules, with_rules
from decision_service.second_look import look_on


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
        self.together = self._looker is None or goes_together(self._looker)
        """Whether requests lose nothing by being decided together."""

    @property
    def declared(self) -> Declared | None:
        """The graph with its goals and rules, if there is one."""
        return None if self._looker is None else self._looker.declared

    async def first_looks(
        self, asked: Sequence[tuple[RecommendationRequest, Eligible]], deadline_at: float
    ) -> Sequence[FirstLook | None]:
        """Ask the application's rules; None where there are none: all is found out in one look then.

        Args:
            asked: requests, and what each allows.
            deadline_at: of all of them, on the loop's clock.
        """
        if self._looker is None or not self._looker.declared.rules or not asked:
            return [None] * len(asked)
        return await look_first(self._looker, asked, deadline_at)

    async def first_look(
        self, request: RecommendationRequest, candidates: Eligible, deadline_at: float
    ) -> FirstLook | None:
        """The same for one."""
        return (await self.first_looks([(request, candidates)], deadline_at))[0]

    async def resolve_all(self, asked: Sequence[Wanted], deadline_at: float) -> list[Resolved]:
        """The features of requests and arms, with what can be fetched by the deadline.

        Args:
            asked: requests, what may be chosen for each, and the first look at it, if there was one.
            deadline_at: of all of them, on the loop's clock; fetching gets a share of what is left.
        """
        looker = self._looker
        if looker is None:
            return [one.known() for one in asked]
        return await look_on(looker, asked, deadline_at)

    async def resolve(
        self,
        request: RecommendationRequest,
        arms: Eligible,
        deadline_at: float,
        first: FirstLook | None = None,
    ) -> Resolved:
        """The same for one."""
        return (await self.resolve_all([Wanted(request, arms, first)], deadline_at))[0]


@asynccontextmanager
async def open_features(
    around: Surroundings,
    file: str | None,
    deadline_s: float,
    loop_time: Callable[[], float],
    rules: Rules,
    mishaps: Mishaps,
) -> AsyncIterator[FeatureSource]:
    """The features of an application, with its clients open.

    Args:
        around: the application, its folder, and its stores.
        file: name of the Python file that defines them; None for an application without.
        deadline_s: of a request that names none: the graph is checked against it.
        loop_time: the clock of the deadlines, in seconds.
        rules: the application's own, which join the graph.
        mishaps: hears what goes wrong in nodes and rules.

    Raises:
        BadApplication: the file is not there, cannot be imported, or defines no such graph; a rule asks for
            what is not there.
    """
    if file is None:
        yield FeatureSource(with_rules(None, rules, deadline_s), {}, loop_time, deadline_s, mishaps)
        return
    module, declared = load_features(around.folder / file, deadline_s)
    async with clients_of(module, around) as clients:
        yield FeatureSource(with_rules(declared, rules, deadline_s), clients, loop_time, deadline_s, mishaps)
