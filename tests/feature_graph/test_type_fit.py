"""Which types fit where, and which values: no only where it is certain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Union

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from feature_graph import BadGraph, Graph
from feature_graph.annotations import Annotations
from feature_graph.type_fit import Fit
from feature_graph.value_fit import value_fits
from tests.feature_graph.typed import vocabulary

T = TypeVar("T")


class Given(TypedDict):
    user: str


def form(text: str) -> Any:
    return eval(text, vars(vocabulary))


def pairs(text: str) -> list[tuple[str, str]]:
    """``given -> wanted; …``"""
    return [tuple(" ".join(each.split()).split(" -> ")) for each in text.split(";")]


FITS = pairs("""
int -> float; float -> complex; bool -> int; bool -> float; Level -> float; int -> int | None;
int | None -> float | None; int -> object; None -> int | None; UserId -> str; StaffId -> UserId;
StaffId -> str | None; Literal['a'] -> str; Literal['a'] -> Literal['a', 'b'];
bool -> Literal[True, False]; list[int] -> Sequence[float]; list[int] -> list[float];
dict[str, int] -> Mapping[str, float]; dict[str, int] -> Iterable[str]; str -> Sequence[str];
tuple[int, int] -> tuple[float, ...]; tuple[int, str] -> Sequence[int | str];
Row -> Mapping[str, object]; LongRow -> Row; Row -> dict[str, Any]; dict[str, object] -> Row;
list -> list[int]; list[Any] -> list[int]; IntBox -> Box[int]; IntBox -> Box[float];
Floats -> Sequence[complex]; Sink[Animal] -> Sink[Dog]; ByName[int] -> Mapping[str, float];
type[Dog] -> type[Animal]; type[Dog] -> Callable[..., Any]; File -> Closes; File -> Named;
Any -> int; int -> Any; Loose -> int; Callable[[int], str] -> Callable[[str], int];
datetime -> date; StringIO -> IO[str]; Annotated[int, 'years'] -> float;
Generator[int, str, None] -> Iterable[float]
""")
MISFITS = pairs("""
str -> int; float -> int; complex -> float; int -> bool; None -> int; int | None -> int;
int | str -> int; int -> str | None; object -> int; str -> UserId; UserId -> StaffId;
Literal['a'] -> int; str -> Literal['a']; Literal['a', 'b'] -> Literal['a']; bool -> Literal[True];
list[str] -> Sequence[float]; list[int | None] -> list[int]; Sequence[int] -> list[int];
dict[str, str] -> Mapping[str, float]; dict[int, int] -> Iterable[str];
list[int] -> Mapping[int, int]; Row -> Mapping[str, int]; Row -> OtherRow; Names -> Row;
dict[int, str] -> Row; list[str] -> Row; tuple[int, int] -> tuple[int]; str -> Sequence[int];
tuple[int, str] -> Sequence[int]; IntBox -> Box[str]; Floats -> list[int];
Sink[Dog] -> Sink[Animal]; ByName[str] -> Mapping[str, float]; type[Animal] -> type[Dog];
int -> Callable[..., Any]; int -> Closes; Profile -> Closes; str -> Named; date -> datetime;
str -> IO[str]; Profile | None -> Profile; list[int] -> Hashable;
list[list[str]] -> Sequence[Sequence[int]]; Generator[str, None, None] -> Iterable[int]
""")


CASES = [(*pair, True) for pair in FITS] + [(*pair, False) for pair in MISFITS]


@pytest.mark.parametrize(("gives", "wants", "right"), CASES)
def test_a_type_fits_unless_it_is_certainly_wrong(gives, wants, right):
    """(5) Subclasses, promotions, unions member by member, containers covariantly."""
    assert Fit(Annotations()).fits(form(gives), form(wants)) is right


@pytest.mark.parametrize("as_text", [True, False])
def test_a_graph_is_refused_by_the_same_rules(as_text):
    """(5) With annotations as objects, and as text, as from ``from __future__ import annotations``."""
    for gives, wants, right in CASES:
        source, reader = eval("lambda user: 1", vars(vocabulary)), eval("lambda source: 1", vars(vocabulary))
        source.__annotations__["return"] = gives if as_text else form(gives)
        reader.__annotations__["source"] = wants if as_text else form(wants)
        try:
            Graph(Given, source=source, reader=reader)
        except BadGraph as refused:
            (told_so,) = refused.problems
            assert not right, told_so
            assert "takes source: " in told_so
        else:
            assert right, (gives, wants)


TYPES = {text: form(text) for text in vocabulary.TYPES}
types_drawn = st.sampled_from(list(TYPES.values()))


@drawn(types_drawn)
def test_every_type_fits_itself_and_what_is_unknown(one):
    """Reflexive; Any and object take all, Any goes anywhere."""
    fit = Fit(Annotations())
    assert fit.fits(one, one)
    assert fit.fits(one, Any)
    assert fit.fits(Any, one)
    assert fit.fits(one, object)
    assert fit.fits(one, T)
    assert fit.fits(T, one)


@drawn(types_drawn, types_drawn, types_drawn)
def test_unions_obey_their_laws(a, b, c):
    """A union fits if all of it does; it takes whatever one of its members takes."""
    fit = Fit(Annotations())
    assert fit.fits(_union(a, b), c) == (fit.fits(a, c) and fit.fits(b, c))
    assert fit.fits(a, _union(a, b))
    assert not fit.fits(a, b) or fit.fits(a, _union(b, c))


@drawn(types_drawn, types_drawn)
def test_containers_are_covariant(a, b):
    """A list of what fits fits, wherever a sequence or a list is wanted."""
    fit = Fit(Annotations())
    assert fit.fits(list[a], Sequence[b]) == fit.fits(a, b)
    assert fit.fits(list[a], list[b]) == fit.fits(a, b)
    assert fit.fits(dict[str, a], Mapping[str, b]) == fit.fits(a, b)


def _union(*members):
    return Union[members]  # noqa: UP007 - of a tuple


VALUES = [
    (0, "float"), (True, "int"), (None, "Profile | None"), ("x", "UserId"), ("a", "Literal['a', 'b']"),
    ([], "list[int]"), ([1, 2], "Sequence[float]"), ({"a": 1}, "Mapping[str, float]"),
    ({}, "dict[str, int]"), ((1, "a"), "tuple[int, str]"), ((1, 2, 3), "tuple[int, ...]"),
    ({"name": "n", "age": 1}, "Row"), ({"name": "n", "age": 1, "more": 2}, "Row"),
    (frozenset({1}), "AbstractSet[int]"), ("abc", "Sequence[str]"),
    ({"a": [1]}, "dict[str, list[int]]"), (vocabulary.Dog(), "Animal"),
    (vocabulary.Dog, "type[Animal]"), (vocabulary.File(), "Closes"), (3, "Any"), (3, "object"),
    (vocabulary.Segment.NEW, "Literal[Segment.NEW]"), (vocabulary.IntBox(1), "Box[int]"),
    (vocabulary.Box(1), "Box[str]"),
]  # fmt: skip
WRONG_VALUES = [
    ("0", "float"), (1, "bool"), (None, "Profile"), (1, "UserId"), ("c", "Literal['a', 'b']"),
    (1, "Literal[True]"), (["a"], "list[int]"), ([1, None], "Sequence[float]"),
    ({"a": "1"}, "Mapping[str, float]"), ({1: 1}, "dict[str, int]"), ((1, 2), "tuple[int, str]"),
    ((1,), "tuple[int, str]"), ((1, "2"), "tuple[int, ...]"), ({"name": "n"}, "Row"),
    ({"name": 1, "age": 1}, "Row"), ([], "Row"), ({"x"}, "AbstractSet[int]"), ("abc", "Sequence[int]"),
    ({"a": ["b"]}, "dict[str, list[int]]"), (vocabulary.Animal(), "Dog"),
    (vocabulary.Animal, "type[Dog]"), (3, "Closes"), ((), "list[int]"),
    (vocabulary.IntBox(1), "Box[str]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "wants", "right"), [(*c, True) for c in VALUES] + [(*c, False) for c in WRONG_VALUES]
)
def test_a_fallback_value_is_held_against_the_type_with_its_elements(value, wants, right):
    """(6) Literals, rows, tuples, elements of containers."""
    assert value_fits(Fit(Annotations()), value, form(wants)) is right


def test_a_fallback_that_holds_itself_is_read_to_an_end():
    """(6) Nested beyond reason counts as right."""
    endless: list[Any] = []
    endless.append(endless)
    assert value_fits(Fit(Annotations()), endless, list[list[list[Any]]])
    assert value_fits(Fit(Annotations()), endless, _recursive(40))


def _recursive(depth: int) -> Any:
    made: Any = list[int]
    for _ in range(depth):
        made = list[made]
    return made
