"""What can become of every node when some are down and nothing else fails: worked out from the declaration.

A node's fate is a set of possibilities, since which side a branch takes is known only when it runs. The rules
are those of the engines, read over sets: what one run does with a value, a stand-in or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from feature_graph.cycles import is_ring, knots
from feature_graph.node import MISSING, Branch, Derived, Each, Fetch, FirstOf, Lookup, Node, edges_of


class Fate(Enum):
    """One thing that can become of a node."""

    SAME = "same"
    """The value that it has anyway."""
    STAND_IN = "stand-in"
    """A value, made without what is down."""
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Fates:
    """All that can become of a node."""

    can: frozenset[Fate]
    value: object = MISSING
    """The value that stands in, where it is known and nothing else is possible."""

    @property
    def may_lose(self) -> bool:
        """True if a run may leave it without a value."""
        return Fate.LOST in self.can

    @property
    def must_lose(self) -> bool:
        """True if no run gives it a value."""
        return not self.can - {Fate.LOST}


_SAME, _STAND_IN, _LOST = (Fates(frozenset((fate,))) for fate in (Fate.SAME, Fate.STAND_IN, Fate.LOST))
_OPEN = Fates(frozenset())
"""Of a node on a ring of which nothing is known yet."""
FatesOf = Mapping[str, Fates]


def fates_without(nodes: Mapping[str, Node], inputs: Iterable[str], down: frozenset[str]) -> dict[str, Fates]:
    """What can become of every node when those that are ``down`` fail at once."""
    edges = {name: edges_of(node) for name, node in nodes.items()}
    fates: dict[str, Fates] = dict.fromkeys(inputs, _SAME)
    for knot in knots(edges):
        ring = is_ring(edges, knot)
        fates.update(dict.fromkeys(knot, _OPEN))
        changed = True
        while changed:
            before = [fates[name] for name in knot]
            for name in knot:
                found = _fates_of(nodes[name], fates, name in down)
                fates[name] = Fates(found.can) if ring else found
            changed = ring and before != [fates[name] for name in knot]
    return fates


def _fates_of(node: Node, fates: FatesOf, is_down: bool) -> Fates:
    if is_down:
        return _when_down(node, fates)
    if isinstance(node, Branch):
        return _after_decision(node, fates)
    return _after_choices(node, fates) if isinstance(node, FirstOf) else _after_call(node, fates)


def _when_down(node: Node, fates: FatesOf) -> Fates:
    if isinstance(node, Fetch | Lookup):
        fallen = _fallen_back(node)
        kept = {Fate.SAME, Fate.STAND_IN} if node.options.cache is not None else set()
        return Fates(fallen.can | kept, MISSING if kept else fallen.value)
    if isinstance(node, Each) and not node.derived:  # of no elements it is complete without a call
        element = Fate.LOST if node.body.fallback is MISSING else Fate.STAND_IN  # type: ignore[union-attr]
        called = _after_call(node, fates)
        return called if called.must_lose else Fates(called.can | {element})
    return _LOST


def _after_call(node: Fetch | Lookup | Derived | Each, fates: FatesOf) -> Fates:
    needed = [(fates[parameter.node], parameter.hard) for parameter in node.parameters]
    can: set[Fate] = set()
    if all(Fate.SAME in found.can for found, _ in needed):
        can.add(Fate.SAME)
    runs = not any(hard and found.must_lose for found, hard in needed)
    if runs and any(Fate.STAND_IN in found.can or (found.may_lose and not hard) for found, hard in needed):
        can.add(Fate.STAND_IN)
    if not any(hard and found.may_lose for found, hard in needed):
        return Fates(frozenset(can))
    fallen = _LOST if isinstance(node, Derived | Each) else _fallen_back(node)
    return fallen if not can else Fates(frozenset(can) | fallen.can)


def _fallen_back(node: Fetch | Lookup) -> Fates:
    if node.fallback is MISSING:
        return _LOST
    return Fates(_STAND_IN.can, MISSING if node.fallback_calls else node.fallback)


def _after_decision(node: Branch, fates: FatesOf) -> Fates:
    condition = fates[node.condition]
    sides = [fates[node.then], fates[node.otherwise]]
    can = {Fate.LOST} if condition.may_lose else set()
    if Fate.SAME in condition.can:
        can |= sides[0].can | sides[1].can
    if Fate.STAND_IN in condition.can:
        taken = _taken(sides, condition.value)
        can |= {Fate.STAND_IN if fate is Fate.SAME else fate for side in taken for fate in side.can}
        if can == {Fate.STAND_IN} and len(taken) == 1:
            return Fates(frozenset(can), taken[0].value)
    return Fates(frozenset(can))


def _taken(sides: list[Fates], condition: object) -> list[Fates]:
    """The sides that a stand-in of the condition may take."""
    if condition is MISSING:
        return sides
    try:
        return sides[:1] if condition else sides[1:]
    except Exception:  # it has no truth, and the branch will fail
        return [_LOST]


def _after_choices(node: FirstOf, fates: FatesOf) -> Fates:
    can: set[Fate] = set()
    for place, choice in enumerate(node.choices):
        found = fates[choice]
        valued = found.can - {Fate.LOST}
        can |= valued if place == 0 or not valued else {Fate.STAND_IN}
        if not found.may_lose:
            only = not can - {Fate.STAND_IN} and all(fates[c].must_lose for c in node.choices[:place])
            return Fates(frozenset(can), found.value if only else MISSING)
    return Fates(frozenset(can | {Fate.LOST}))
