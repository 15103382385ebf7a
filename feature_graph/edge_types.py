"""Types along the edges of a graph: what a node gives against what its reader takes, when it is built.

Refused is only what is certainly wrong. Functions stay ordinary, so that a type checker sees inside them;
that one function's parameter is another one's value is what only the graph knows.
"""

from __future__ import annotations

import collections.abc as abc
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Union, get_args, get_origin

from feature_graph.annotations import Annotations
from feature_graph.cycles import knots
from feature_graph.node import MISSING, Branch, Derived, Each, Edge, Fetch, FirstOf, Lookup, Node, Parameter
from feature_graph.outcome import Outcome
from feature_graph.reading import place_of
from feature_graph.scope import StandIn
from feature_graph.type_fit import Fit
from feature_graph.type_forms import arguments_as, class_and_arguments, is_unknown, members_of, plain, told
from feature_graph.value_fit import value_fits

_TYPES_KEPT = 32
"""Different types that one branch is known to give; a chain of ten thousand need not remember more."""


class _Offer(NamedTuple):
    """A type that a node may give."""

    form: object
    origin: str
    """The node or input that it comes from: through a branch, that of the side."""


def type_problems(nodes: Mapping[str, Node], given: type) -> list[str]:
    """Hold each edge's value type against its reader's parameter, and each fallback against its fetch.

    Unknown types (no annotation, ``Any``, type variables, names that exist for type checkers only) fit.

    Args:
        nodes: all of the graph; every name that they need is a node or an input.
        given: the TypedDict of inputs.

    Returns:
        One sentence a problem, with both places.
    """
    return list(dict.fromkeys(_Check(nodes, given).problems()))


class _Check:
    """One look at a graph: annotations, the types that its nodes give, and what is wrong with them."""

    def __init__(self, nodes: Mapping[str, Node], given: type) -> None:
        self._nodes = nodes
        self._given = given
        self._annotations = Annotations()
        self._fit = Fit(self._annotations)
        self._offers: dict[str, tuple[_Offer, ...]] = {}

    def problems(self) -> Iterator[str]:
        for name, form in self._annotations.fields(self._given).items():
            self._offers[name] = (_Offer(form, name),)
        for node in self._nodes.values():
            if not isinstance(node, Branch | FirstOf):
                self._offers[node.name] = (_Offer(self._value_of(node), node.name),)
        self._offer_choices()
        for node in self._nodes.values():
            if isinstance(node, Each):
                yield from self._over(node)
                yield from self._bodys_own(node.body)
            elif not isinstance(node, Branch | FirstOf):
                yield from self._bodys_own(node)
                yield from self._into(node, node, node.parameters)

    # ------------------------------------------------------------------ what nodes give

    def _value_of(self, node: Fetch | Derived | Lookup | Each) -> object:
        if isinstance(node, Each):
            return list[self._value_of(node.body)]  # type: ignore[misc]
        if not isinstance(node, Lookup):
            return _without(StandIn, self._annotations.returns(node.function))
        mapping = self._seen_as(self._annotations.returns(node.batch), abc.Mapping)
        return _without(BaseException, mapping[1]) if mapping is not None and len(mapping) == 2 else Any

    def _offer_choices(self) -> None:
        """What branches and first_ofs give: all that their sides do. Those in a ring give the same."""
        sides: dict[str, tuple[Edge, ...]] = {}
        for node in self._nodes.values():
            if isinstance(node, Branch):
                sides[node.name] = (Edge(node.then), Edge(node.otherwise))
            elif isinstance(node, FirstOf):
                sides[node.name] = tuple(Edge(choice) for choice in node.choices)
        for knot in knots(sides):
            found: dict[object, _Offer] = {}
            for name in knot:
                for edge in sides[name]:
                    _add(found, self._offers.get(edge.to, ()))
            self._offers.update(dict.fromkeys(knot, tuple(found.values())))

    # ------------------------------------------------------------------ what readers take

    def _into(
        self, node: Node, body: Fetch | Derived | Lookup, parameters: Iterable[Parameter]
    ) -> Iterator[str]:
        for parameter in parameters:
            wanted = self._wanted_by(body, parameter)
            if not is_unknown(wanted):
                for offer in self._offers[parameter.node]:
                    if not self._fit.fits(offer.form, wanted):
                        yield self._refusal(node, body, parameter, wanted, offer)
                        break

    def _wanted_by(self, body: Fetch | Derived | Lookup, parameter: Parameter) -> object:
        function = body.batch if isinstance(body, Lookup) else body.function
        form = self._annotations.parameter(function, parameter.name)
        if isinstance(body, Lookup) and parameter.name == body.parameters[0].name:
            seen = self._seen_as(form, abc.Iterable)
            return Any if seen is None else seen[0]
        if not parameter.wants_outcome:
            return form
        form = plain(form)
        return get_args(form)[0] if get_origin(form) is Outcome else Any

    def _over(self, node: Each) -> Iterator[str]:
        over, *others = node.parameters
        yield from self._into(node, node.body, others)
        element = next(each for each in node.body.parameters if each.name == node.element)
        wanted = self._wanted_by(node.body, element)
        for offer in self._offers[over.node]:
            given = self._given_by(over.node, offer)
            elements = self._elements_of(offer.form)
            if elements is None:
                yield (
                    f"{node.name!r} at {node.place} goes over {over.node!r}, "
                    f"which must be a sequence, but {given}"
                )
                return
            if not all(self._fit.fits(each, wanted) for each in elements):
                taken = self._takes(node, node.body, f"{node.element}: {told(wanted)}")
                yield f"{taken} from each of {over.node!r}, but {given}"
                return

    def _elements_of(self, form: object) -> tuple[object, ...] | None:
        """Types of the elements; None if some value of that type has certainly none."""
        found: list[object] = []
        for member in members_of(form):
            kind = class_and_arguments(member)[0]
            if kind in (str, bytes) or not self._fit.fits(member, abc.Iterable):
                return None
            seen = self._seen_as(member, abc.Iterable)
            found.append(Any if seen is None else seen[0])
        return tuple(found)

    def _seen_as(self, form: object, target: type) -> tuple[object, ...] | None:
        """Type arguments of the base ``target`` of a class; None if they are not known."""
        form = plain(form)
        cls, arguments = class_and_arguments(form)
        if cls is None or is_unknown(form) or not self._fit.fits(cls, target):
            return None
        return arguments_as(cls, arguments, target)

    # ------------------------------------------------------------------ a function and its own options

    def _bodys_own(self, node: Fetch | Derived | Lookup) -> Iterator[str]:
        if isinstance(node, Derived):
            return
        if isinstance(node, Lookup):
            yield from self._batch(node)
        if node.fallback is MISSING:
            return
        wanted = self._value_of(node)
        function = node.batch if isinstance(node, Lookup) else node.function
        whose = f"the fallback of {node.name!r} at {place_of(function)} is"
        instead = f"but {node.name!r} gives {told(wanted)}"
        if not node.fallback_calls:
            if not value_fits(self._fit, node.fallback, wanted):
                yield f"{whose} {_short(node.fallback)}, {instead}"
            return
        fallback: Callable[..., Any] = node.fallback  # type: ignore[assignment]
        whose += f" the function at {place_of(fallback)}"
        if not _takes_one(fallback):
            yield f"{whose}, which cannot be called with the error alone"
        form = self._annotations.returns(fallback)
        if not self._fit.fits(form, wanted):
            yield f"{whose}, which gives {told(form)}, {instead}"

    def _batch(self, node: Lookup) -> Iterator[str]:
        place = place_of(node.batch)
        keys = self._annotations.parameter(node.batch, node.parameters[0].name)
        returns = self._annotations.returns(node.batch)
        if not all(self._fit.fits(member, abc.Mapping) for member in members_of(returns)):
            yield f"the @batch at {place} gives {told(returns)}; legal: a Mapping of keys to values"
        if not self._fit.fits(list[Any], keys) and not self._fit.fits(list, keys):
            wanted = f"{node.parameters[0].name}: {told(keys)}"
            yield f"the @batch at {place} takes {wanted} first; legal: a Sequence of keys"
            return
        asked, answered = self._seen_as(keys, abc.Iterable), self._seen_as(returns, abc.Mapping)
        if asked is None or answered is None or len(answered) != 2:
            return
        if not self._fit.fits(asked[0], answered[0]) and not self._fit.fits(answered[0], asked[0]):
            yield (
                f"the @batch at {place} takes keys of {told(asked[0])}, "
                f"but gives a mapping by {told(answered[0])}"
            )

    # ------------------------------------------------------------------ words

    def _refusal(
        self, node: Node, body: Fetch | Derived | Lookup, parameter: Parameter, wanted: object, offer: _Offer
    ) -> str:
        one_key = isinstance(body, Lookup) and parameter.name == body.parameters[0].name
        taken = f"Outcome[{told(wanted)}]" if parameter.wants_outcome else told(wanted)
        asked = f"keys of {taken}" if one_key else f"{parameter.name}: {taken}"
        source = "" if parameter.node == parameter.name else f" from {parameter.node!r}"
        given = self._given_by(parameter.node, offer, told(wanted))
        return f"{self._takes(node, body, asked)}{source}, but {given}"

    def _takes(self, node: Node, body: Fetch | Derived | Lookup, what: str) -> str:
        function = body.batch if isinstance(body, Lookup) else body.function
        place = place_of(function)
        at = node.place if node.place == place else f"{node.place} (the function at {place})"
        return f"{node.name!r} at {at} takes {what}"

    def _given_by(self, name: str, offer: _Offer, unlike: str = "") -> str:
        form = told(offer.form)
        if form == unlike:  # two classes of one name
            form = repr(offer.form)
        through = "" if offer.origin == name else f", from {offer.origin!r} at {self._where(offer.origin)}"
        verb = "may give" if through else "gives"
        return f"{name!r} at {self._where(name)} {verb} {form}{through}"

    def _where(self, name: str) -> str:
        if name in self._nodes:
            return self._nodes[name].place
        return f"{self._given.__module__}.{self._given.__qualname__}"


def _add(found: dict[object, _Offer], offers: Iterable[_Offer]) -> None:
    for offer in offers:
        if len(found) >= _TYPES_KEPT:
            return
        try:
            found.setdefault(offer.form, offer)
        except TypeError:  # a type without a hash
            found.setdefault(id(offer.form), offer)


def _without(base: type, form: object) -> object:
    """A union without those members that are a ``base``; they are told apart from values at run time."""
    members = members_of(form)
    kept = tuple(each for each in members if not (isinstance(each, type) and base in each.__mro__))
    if len(kept) == len(members):
        return form
    return Union[kept] if kept else Any  # noqa: UP007 - of a tuple


def _takes_one(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(ValueError())
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell
        return True
    return True


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
