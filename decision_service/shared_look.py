"""What does not depend on who asks is found out once for all who ask together.

A part of an application's graph needs nothing of a request: what is sold out, which merchants are closed.
While the whole catalogue is eligible, that part of the first look is one run of the graph for all requests
that are there at the same time, and whoever comes while it is away shares the next one: nobody is given
anything that was asked for before they came. The features of arms that follow from it without another fetch
are worked out once for each set of arms that is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from decision_service.arm_values import NO_ARM_FEATURES, ArmFeatures, arm_features
from decision_service.batcher import Batcher
from decision_service.feature_module import ARMS, FIRST_LOOK_SHARE, Declared
from decision_service.prepolicy import Eligible
from decision_service.rule_values import reasons
from feature_graph import Graph, Resolution
from feature_graph.node import edges_of

MAX_SHARED = 1_024
"""Most requests that one run answers."""
_RUNS = 2
"""Runs under way at once, as many as batches of requests: one must not wait for the other's."""
_OF_ALL = ("candidates", "arm_features")
"""Inputs that are the same for everybody while the whole catalogue is eligible."""


class Division(Struct, frozen=True):
    """An application's graph in two parts: what is the same for everybody, and what is not."""

    rules: tuple[str, ...]
    """Of the first look: the same for everybody."""
    own_rules: tuple[str, ...]
    own: tuple[str, ...]
    """All that is asked of the own part in the first look: its rules, and those that answer at once."""
    arm_goals: tuple[str, ...]
    """The same for everybody with the same arms, and had without another fetch."""
    own_arm_goals: tuple[str, ...]
    inputs: tuple[str, ...]
    """Of the shared part."""
    lent: tuple[str, ...]
    """Shared nodes of the first look that own nodes read."""
    lent_at_once: bool
    """Whether one of those is an own rule, or something that it reads."""
    lent_to_arms: tuple[str, ...]
    """Shared nodes of the first look that ``arm_goals`` read."""


def divide(declared: Declared, clients: frozenset[str]) -> Division | None:
    """The two parts; None where the first look has no shared one.

    A node that a request may give itself, a context feature, is its own business.
    """
    graph = declared.graph
    first = _shared(graph, declared, clients.union(_OF_ALL))
    second = _shared(graph, declared, clients.union(_OF_ALL, (ARMS,)))
    rules = tuple([rule for rule in declared.first_look if rule in first])
    if not rules:
        return None
    known = first & _behind(graph, rules)
    own_rules = tuple([rule for rule in declared.first_look if rule not in first])
    own = (*own_rules, *declared.answers)
    arm_goals = tuple([goal for goal in declared.arm_goals if goal in second - first])
    inputs = tuple([name for name in sorted(graph.inputs) if name in clients.union(_OF_ALL)])
    if arm_goals and graph.plan(arm_goals, {*known, *inputs, ARMS}).fetches:
        arm_goals = ()
    own_arm_goals = tuple([goal for goal in declared.arm_goals if goal not in arm_goals])
    at_once = _read_by(graph, _behind(graph, own) - known) & known
    later = _read_by(graph, _behind(graph, (*declared.goals, *own_arm_goals)) - known) & known
    lent = tuple(sorted(at_once | later))
    to_arms = tuple(sorted(_read_by(graph, _behind(graph, arm_goals) - known) & known))
    return Division(rules, own_rules, own, arm_goals, own_arm_goals, inputs, lent, bool(at_once), to_arms)


def is_for_all(candidates: Eligible) -> bool:
    """Whether the whole catalogue is eligible, as it is."""
    return candidates.ids is candidates.shelf.ids and not candidates.arms


def carried_over(declared: Declared) -> tuple[str, ...]:
    """Nodes of the first look that the second reads."""
    first = _behind(declared.graph, declared.rules)
    later = _behind(declared.graph, declared.everything)
    return tuple(sorted(first & (_read_by(declared.graph, later - first) | {*declared.everything})))


def _shared(graph: Graph, declared: Declared, inputs: frozenset[str]) -> set[str]:
    """Nodes behind which there are only ``inputs``."""
    shared: set[str] = set()
    candidates = [name for name in graph if name not in declared.goals]
    while found := [name for name in candidates if name not in shared and _only(graph, name, shared, inputs)]:
        shared.update(found)
    return shared


def _only(graph: Graph, name: str, shared: set[str], inputs: frozenset[str]) -> bool:
    return all(edge.to in shared or edge.to in inputs for edge in edges_of(graph.nodes[name]))


def _behind(graph: Graph, names: Sequence[str]) -> set[str]:
    """``names`` and all nodes that they may need."""
    found: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name in graph.nodes and name not in found:
            found.add(name)
            stack += [edge.to for edge in edges_of(graph.nodes[name])]
    return found


def _read_by(graph: Graph, names: set[str]) -> set[str]:
    return {edge.to for name in names for edge in edges_of(graph.nodes[name])}


class Wave:
    """What one run found out for everybody who waited for it.

    Args:
        division: of the graph.
        graph: it.
        given: inputs of the shared part.
        found: the run.
    """

    def __init__(
        self, division: Division, graph: Graph, given: Mapping[str, object], found: Resolution
    ) -> None:
        self._division = division
        self._graph = graph
        self._given = given
        self._found = found
        self._of_arms: dict[tuple[str, ...], ArmFeatures] = {}

    @cached_property
    def said(self) -> dict[str, tuple[str, dict[str, str]]]:
        """How each shared rule was had, and what it excludes why."""
        return {rule: reasons(self._found, rule) for rule in self._division.rules}

    @cached_property
    def lent(self) -> dict[str, object]:
        """What own nodes read of it, as inputs of their run."""
        return self._found.carried(self._division.lent)

    async def arm_features(self, arms: Eligible) -> ArmFeatures:
        """The shared features of ``arms``, to which the request gives none itself; worked out once."""
        if not self._division.arm_goals:
            return NO_ARM_FEATURES
        known = self._of_arms.get(arms.ids)
        if known is None:
            given = {**self._given, **self._found.carried(self._division.lent_to_arms), ARMS: arms.ids}
            found = await self._graph.resolve(self._division.arm_goals, given=given)
            known = self._of_arms[arms.ids] = arm_features(found, self._division.arm_goals, arms)
        return known


class SharedLook:
    """Makes waves of one application; belongs to one event loop.

    Args:
        division: of its graph.
        graph: it.
        clients: values of the graph's inputs.
        deadline_s: of a request that names none.
        look: is shown every run.
    """

    def __init__(
        self,
        division: Division,
        graph: Graph,
        clients: Mapping[str, object],
        deadline_s: float,
        look: Callable[[Resolution], None] = lambda found: None,
    ) -> None:
        self.division = division
        self._graph = graph
        self._clients = clients
        self._deadline_s = deadline_s * FIRST_LOOK_SHARE
        self._look = look
        self._batcher: Batcher[Eligible, Wave] = Batcher(self._waves, max_batch=MAX_SHARED, in_flight=_RUNS)

    def join(self, candidates: Eligible) -> asyncio.Future[Wave]:
        """Take part in the next wave."""
        return self._batcher.put(candidates)

    async def _waves(self, asked: Sequence[Eligible]) -> list[Wave]:
        """One for all; more only in the moment in which the catalogue changes."""
        by_catalogue = {id(one.ids): one for one in asked}
        made = {place: await self._wave(one) for place, one in by_catalogue.items()}
        return [made[id(one.ids)] for one in asked]

    async def _wave(self, candidates: Eligible) -> Wave:
        given = self._inputs(candidates)
        found = await self._graph.resolve(self.division.rules, given=given, deadline=self._deadline_s)
        self._look(found)
        return Wave(self.division, self._graph, given, found)

    def wave_of(self, candidates: Eligible, found: Resolution) -> Wave:
        """Of a run that has found out the shared part on its way."""
        return Wave(self.division, self._graph, self._inputs(candidates), found)

    def _inputs(self, candidates: Eligible) -> dict[str, object]:
        own = {"candidates": candidates.ids, "arm_features": candidates.known}
        return {name: own[name] if name in own else self._clients[name] for name in self.division.inputs}
