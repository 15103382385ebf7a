"""What looks at a feature graph begin with, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from decision_service.api.recommendations import RecommendationRequest
from decision_service.feature_module import ARMS, Declared
from decision_service.feature_values import GIVEN
from decision_service.mishaps import Mishaps
from decision_service.prepolicy import Eligible
from decision_service.rule_values import Answers
from decision_service.shared_look import SharedLook, Wave, carried_over, divide
from sidecar.contracts.application import Features
from sidecar.contracts.arm_features import Columns, Levels


class Resolved(Struct, frozen=True):
    """All features as scored."""

    context: Features
    outcomes: dict[str, str]
    """How each feature was had; those of arms under the name of their node, and rules under theirs. One
    mapping for all who were told alike: not to be changed."""
    arm_features: Columns = {}
    arm_outcomes: dict[str, Levels] = {}
    """Node of per-arm features to how each arm's was had, where not all were had alike."""


class FirstLook(Struct, frozen=True):
    """What the rules say, and what was found out on the way."""

    excluded: dict[str, str]
    """Arm to reason; others may have the same mapping."""
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


class Wanted(Struct, frozen=True):
    """One request whose features are wanted."""

    request: RecommendationRequest
    arms: Eligible
    """What may be chosen."""
    first: FirstLook | None = None
    """The first look at it, if there was one."""

    def known(self) -> Resolved:
        """All that is known of it without another look."""
        outcomes = dict.fromkeys(self.request.context, GIVEN)
        if self.first is not None:
            outcomes.update(self.first.outcomes)
        return Resolved(self.request.context, outcomes)


Of = Callable[[RecommendationRequest], object]
_OF_A_REQUEST: dict[str, Of] = {
    "session_id": lambda request: request.session_id,
    "unit_id": lambda request: request.unit_id or request.session_id,
    "context": lambda request: request.context,
}
_OF_ARMS: dict[str, Callable[[Eligible], object]] = {
    "candidates": lambda candidates: candidates.ids,
    "arm_features": lambda candidates: candidates.known,
}


class Looker(Struct, frozen=True):
    """What every look at the graph of one application needs."""

    declared: Declared
    clients: Mapping[str, object]
    """Values of the graph's inputs."""
    loop_time: Callable[[], float]
    """The clock of the deadlines, in seconds."""
    mishaps: Mishaps
    """Hears what goes wrong."""
    carried: tuple[str, ...]
    """Nodes of the first look that the second one reads."""
    shared: SharedLook | None
    """The part that is the same for everybody, if there is one."""
    names: tuple[str, ...]
    """Of the graph's inputs but ``arms``."""
    lasting: Mapping[str, object]
    """Those that are the same for every request."""
    of_arms: tuple[str, ...]
    """Those that are the same for all who may be given the same arms."""
    own: tuple[tuple[str, Of | None], ...]
    """The others, and how each is had of a request; None: of its context."""
    at_once: bool
    """Whether the first look of many who may be given the same arms is one run of the graph."""
    carried_plainly: tuple[str, ...] | None
    """``carried``, if the second look may read the values alone: none of them becomes a feature itself."""
    about_later: bool
    """Whether the second look needs to know about arms besides."""

    def about_arms(self, candidates: Eligible) -> dict[str, object]:
        """The graph's inputs that are the same for all who may be given these arms."""
        return {name: _OF_ARMS[name](candidates) for name in self.of_arms}

    def inputs(self, request: RecommendationRequest, candidates: Eligible) -> dict[str, object]:
        """The graph's inputs but ``arms`` and what lasts, and the request's features in place of nodes."""
        return self.of_requests([request])[0] | self.about_arms(candidates)

    def of_requests(self, requests: Sequence[RecommendationRequest]) -> list[dict[str, object]]:
        """The same for each without what is about arms."""
        given: list[dict[str, object]] = [{} for _ in requests]
        for name, of in self.own:
            for row, request in zip(given, requests, strict=True):
                row[name] = request.context.get(name) if of is None else of(request)
        goals = self.declared.goals
        for row, request in zip(given, requests, strict=True):
            if not request.context.keys().isdisjoint(goals):
                row.update({goal: request.context[goal] for goal in goals if goal in request.context})
        return given


def goes_together(looker: Looker) -> bool:
    """Whether all that is looked at for single requests is looked up for many at once.

    A fetch that is no lookup is waited for by itself, and must not keep other requests waiting.
    """
    declared, division = looker.declared, looker.shared.division if looker.shared else None
    first = () if looker.at_once else division.own if division else declared.rules
    second = (*declared.goals, *(division.own_arm_goals if division else declared.arm_goals))
    known = {*looker.names, *looker.carried, *(division.lent if division else ())}
    later = known | ({ARMS} & declared.graph.inputs)
    plans = [(first, looker.names if not division else {*looker.names, *division.lent}), (second, later)]
    return all(
        declared.graph.plan(goals, given, looker.lasting).columns is not None
        for goals, given in plans
        if goals
    )


def looker_of(
    declared: Declared,
    clients: Mapping[str, object],
    loop_time: Callable[[], float],
    deadline_s: float,
    mishaps: Mishaps,
) -> Looker:
    """The looker at what an application declares; ``deadline_s`` is that of a request that names none."""
    division, shared = divide(declared, frozenset(clients)), None
    if division is not None:
        shared = SharedLook(division, declared.graph, clients, deadline_s, mishaps.look)
    names, told = declared.inputs, _OF_A_REQUEST.keys() | _OF_ARMS
    lasting = {name: clients[name] for name in names if name in clients and name not in told}
    of_arms = tuple([name for name in names if name in _OF_ARMS])
    own = tuple([(name, _OF_A_REQUEST.get(name)) for name in names if name not in {*lasting, *of_arms}])
    at_once = False
    if shared is not None:
        plan = declared.graph.plan(declared.rules, names, {*lasting, *of_arms})
        at_once = plan.columns is not None
    carried = carried_over(declared)
    plainly = carried if not {*carried} & {*declared.everything} else None
    known = {*names, *carried} | ({ARMS} & declared.graph.inputs)
    later = not {*of_arms}.isdisjoint(declared.graph.plan(declared.everything, known).given)
    return Looker(
        declared,
        clients,
        loop_time,
        mishaps,
        carried,
        shared,
        names,
        lasting,
        of_arms,
        own,
        at_once,
        plainly,
        later,
    )
