"""Types along the edges: what is certainly wrong is refused with both places, all else is let through."""

from __future__ import annotations

import asyncio
import functools
import re
import sys
import textwrap
import time
import types
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NewType, ParamSpec, Protocol, TypedDict, TypeVar

import pytest

from feature_graph import (
    BadGraph,
    BadRun,
    Graph,
    NoValue,
    Outcome,
    batch,
    branch,
    each,
    fetch,
    first_of,
    lookup,
    wire,
)
from feature_graph.edge_types import type_problems

if TYPE_CHECKING:
    from elsewhere import OnlyForCheckers

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
UserId = NewType("UserId", str)


class Http:
    def get(self, url: str) -> bytes:
        return b""


class Client(Protocol):
    def get(self, url: str) -> bytes: ...


class Row(TypedDict):
    name: str


class Shadowed: ...


class Given(TypedDict):
    user: str
    age: int
    arms: list[str]
    http: Http
    anything: Any
    maybe: str | None


def user_id(user: str) -> UserId:
    return UserId(user)


async def score(user: str) -> float:
    return 0.5


def text(user: str) -> str:
    return user


def problems_of(*nodes, **named) -> list[str]:
    try:
        Graph(Given, *nodes, **named)
    except BadGraph as refused:
        return list(refused.problems)
    return []


def node(name: str, wants: Any, gives: Any = None) -> Callable[..., Any]:
    """``def made(<name>: wants) -> gives``; types as objects."""
    namespace: dict[str, Any] = {}
    exec(f"def made({name}): return {name}", namespace)
    made = namespace["made"]
    made.__annotations__ = {name: wants, "return": gives}
    return made


# ---------------------------------------------------------------------- the message


def test_one_sentence_names_both_places_and_both_types():
    """(5) Who takes what where, who gives what where."""

    def risk(text: float) -> float:
        return text

    (told_so,) = problems_of(text, risk)

    here = r"\S*test_edge_types\.py:\d+"
    assert re.fullmatch(rf"'risk' at {here} takes text: float, but 'text' at {here} gives str", told_so)


def test_an_input_is_placed_by_its_typed_dict():
    """(5) Inputs are edges like all others."""

    def risk(user: float) -> float:
        return user

    (told_so,) = problems_of(risk)
    assert told_so.endswith(
        "takes user: float, but 'user' at tests.feature_graph.test_edge_types.Given gives str"
    )


def test_all_problems_are_told_at_once():
    """Two wrong edges of one node, and one of another."""

    def f(text: int, score: str) -> int:
        return 1

    def g(f: str) -> str:
        return f

    assert len(problems_of(text, score, f, g)) == 3


def test_two_classes_of_one_name_are_told_apart():
    """A message that says X is no X helps nobody."""
    other = type("Http", (), {"__module__": "elsewhere"})
    (told_so,) = problems_of(f=node("http", other))
    assert "takes http: Http, but" in told_so
    assert "test_edge_types.Http" in told_so


# ---------------------------------------------------------------------- where annotations come from


def test_what_is_not_known_is_let_through():
    """(5) No annotation, Any, a type variable, a name for checkers only, text that is no type."""

    def generic(text: T) -> T:
        return text

    def hidden(text: OnlyForCheckers) -> OnlyForCheckers:
        return text

    def attribute(text: sys.nothing) -> nowhere.at.all:  # noqa: F821
        return text

    def rubbish(text: not_a_type(1)) -> 3:  # noqa: F821
        return text

    def takes(generic: int, hidden: int, attribute: int, rubbish: int, plain: int, anything: int) -> int:
        return 1

    assert problems_of(text, generic, hidden, attribute, rubbish, takes, plain=lambda text: text) == []


def test_a_name_for_checkers_only_hides_no_more_than_itself():
    """``OnlyForCheckers | None`` still may be None."""

    def hidden(user: str) -> OnlyForCheckers | None:
        return None

    def rows(user: str) -> list[OnlyForCheckers]:
        return []

    def takes(hidden: int, rows: str) -> int:
        return 1

    assert len(problems_of(hidden, rows, takes)) == 2


class Odd:
    """An annotation that answers nothing that it is asked."""

    def __eq__(self, other):
        raise ValueError("which of them?")

    __hash__ = None
    __len__ = __bool__ = __eq__

    def __getattr__(self, name):
        return self


ODD = [
    3,
    "",
    "1/0",
    "lambda: 1",
    (int, str),
    [int],
    {},
    len,
    Odd(),
    Odd,
    NotImplemented,
    ...,
    functools,
    type,
]
ODD += [Generic, Generic[T], Protocol, P, P.args, dict[str, 3], Callable, Callable[P, R], type[Any], type[T]]
ODD += [Sequence[Odd], list[Odd()], tuple[Odd(), ...], dict[str, list[Odd()]], types.GenericAlias(Odd, (3,))]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_an_annotation_may_be_anything(odd):
    """(5) Python does not mind what stands there; the graph is built all the same."""
    named = {"source": node("user", Any, odd), "reader": node("source", odd)}
    assert problems_of(**named) == []
    problems_of(node("user", odd, odd), node("made", int), left=node("made", odd), fetched=fetched(odd))


def fetched(odd):
    """A fetch whose fallback is to be what is annotated."""

    @fetch(fallback=[1, {"a": (2, "b")}, None])
    async def live(user: str):
        return 1

    live.__annotations__["return"] = odd
    return live


def test_a_local_name_is_not_taken_for_the_modules():
    """(5) A function's own class of the same name hides the module's, which would be the wrong one."""

    class Shadowed: ...  # not in the closure of what follows: annotations are text

    def makes(user: str) -> Shadowed:
        return Shadowed()

    def makes_here(user: str) -> Shadowed:
        return Shadowed()

    def takes(makes: int, other: int) -> int:
        return 1

    assert Shadowed is not globals()["Shadowed"]
    takes.__annotations__["makes"] = Shadowed
    takes.__annotations__["other"] = globals()["Shadowed"]
    assert problems_of(makes, takes, other=makes_here)[0].count("Shadowed") >= 2  # in its closure: known
    blind = eval("lambda user: 1", globals())
    blind.__annotations__["return"] = "Shadowed"
    blind.__qualname__ = "test_a_local_name_is_not_taken_for_the_modules.<locals>.blind"
    assert problems_of(other=blind, f=node("other", Shadowed)) == []


class Table(Generic[T]):
    Key = int

    def method(self, text: Key) -> Key:
        return 1

    @staticmethod
    def static(text: Key) -> Key:
        return 1

    @classmethod
    def of_class(cls, text: int) -> int:
        return 1

    def __call__(self, text: int) -> int:
        return 1


def test_methods_objects_and_classes_say_their_types():
    """(8) Bound, static, of a class, callable objects; a class is what it makes."""

    class Made:
        def __init__(self, text: int) -> None: ...

    table: Table[str] = Table()
    for one in (table.method, Table.static, Table.of_class, table, Made):
        assert "takes text: int, but" in problems_of(text, one=one)[0]

    def takes(text_made: float, method: str) -> int:
        return 1

    class Fine:
        def __init__(self, text: str) -> None: ...

    wrong = problems_of(text, takes, text_made=Fine, method=wire(table.method, text="age"))
    assert ["gives Fine" in each for each in wrong] == [True, False]
    assert "takes method: str, but" in wrong[1]


def test_partials_and_decorators_are_looked_through():
    """(8) What a partial binds is no edge; a decorator made with wraps keeps the types."""

    def traced(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @functools.wraps(function)
        async def inner(*args: P.args, **kwargs: P.kwargs) -> R:
            return await function(*args, **kwargs)

        return inner

    async def get(http: Http, text: int) -> bytes:
        return b""

    def scaled(text: int, factor: float) -> float:
        return text * factor

    assert "takes text: int, but" in problems_of(text, get=traced(get))[0]
    assert "takes text: int, but" in problems_of(text, get=traced(functools.partial(get, Http())))[0]
    assert "takes text: int, but" in problems_of(text, scaled=functools.partial(scaled, factor=2.0))[0]
    assert "takes text: int, but" in problems_of(text, scaled=functools.lru_cache(scaled), factor=score)[0]

    def takes(get: str) -> str:
        return get

    assert "takes get: str" in problems_of(takes, get=wire(traced(get), text="age"))[0]


def test_an_async_callable_object_gives_what_it_is_awaited_for():
    """(8) Its ``__call__`` has the annotations."""

    class Fetches:
        async def __call__(self, user: str) -> bytes:
            return b""

    assert "gives bytes" in problems_of(f=Fetches(), g=node("f", str))[0]


def test_a_given_typed_dict_may_be_inherited_and_qualified():
    """(5) Required, NotRequired, Annotated, and keys of a parent."""
    namespace: dict[str, Any] = {"__name__": __name__}
    source = """
        from typing import Annotated, NotRequired, Required, TypedDict
        class Parent(TypedDict):
            user: str
        class Child(Parent, total=False):
            age: Required[Annotated[int, "years"]]
            city: NotRequired["str"]
    """
    exec(compile(textwrap.dedent(source), "given.py", "exec", dont_inherit=True), namespace)

    def f(user: int, age: str, city: int = 3) -> int:
        return 1

    with pytest.raises(BadGraph) as refused:
        Graph(namespace["Child"], f)
    assert [re.search(r"takes (\w+)", each)[1] for each in refused.value.problems] == ["user", "age"]


def test_a_default_does_not_make_a_wrong_type_right():
    """The default is used where there is no value; here there is one."""

    def f(text: float = 0.0) -> float:
        return text

    def g(maybe: str = "") -> str:
        return maybe

    assert len(problems_of(text, f, g)) == 2


def test_an_outcome_is_checked_by_what_it_holds():
    """(5) Also without its type, and with one that is not known."""

    def f(text: Outcome[int], score: Outcome[float], user: Outcome) -> int:
        return 1

    def g(text: Outcome[OnlyForCheckers]) -> int:
        return 1

    (told_so,) = problems_of(text, score, f, g)
    assert "takes text: Outcome[int], but 'text'" in told_so


def test_protocols_are_held_against_methods_only():
    """A client that lacks the method is refused; one that has it is let through."""

    def f(http: Client) -> int:
        return 1

    def g(user: Client) -> int:
        return 1

    assert len(problems_of(f, g)) == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is Python 3.12's")
def test_aliases_and_type_parameters_of_python_3_12():
    """(5) ``type X = …`` is its value, also generic, recursive, and with names that do not exist."""
    source = """
        type Number = int | float
        type Rows[T] = list[T]
        type Tree = list[Tree] | int
        type Broken = Nowhere[int]
        def wants_text(number: str, rows: list[str], tree: Tree, broken: int, same: str): ...
        def number(user) -> Number: ...
        def rows(user) -> Rows[int]: ...
        def tree(user) -> list[list[int]]: ...
        def broken(user) -> Broken: ...
        def same[T](user: T) -> T: ...
    """
    namespace: dict[str, Any] = {}
    exec(textwrap.dedent(source), namespace)
    functions = [value for value in namespace.values() if callable(value) and hasattr(value, "__code__")]
    assert [re.search(r"takes (\w+)", each)[1] for each in problems_of(*functions)] == ["number", "rows"]


# ---------------------------------------------------------------------- every kind of node


def test_a_branch_gives_what_both_sides_do():
    """The side that does not fit is named, with its place."""

    def risk(chosen: float) -> float:
        return chosen

    (told_so,) = problems_of(text, score, risk, chosen=branch("user", then="score", otherwise="text"))
    here = r"\S*test_edge_types\.py:\d+"
    assert re.search(rf"but 'chosen' at {here} may give str, from 'text' at {here}$", told_so)
    assert problems_of(score, risk, chosen=branch("user", then="score", otherwise="age")) == []


def test_a_first_of_gives_what_any_choice_does():
    """Through other first_ofs and branches too; an input may be a choice."""

    def f(best: str) -> str:
        return best

    named = {"best": first_of("inner", "user"), "inner": branch("user", then="text", otherwise="maybe")}
    (told_so,) = problems_of(text, f, **named)
    assert "may give str | None, from 'maybe' at tests" in told_so


def test_branches_that_need_each_other_are_read_once():
    """(3) A ring that cannot close gives what comes into it."""

    def f(a: int) -> int:
        return a

    ring = {
        "a": branch("user", then="b", otherwise="age"),
        "b": branch("user", then="text", otherwise="a"),
    }
    (told_so,) = problems_of(text, f, **ring)
    assert "'a' at" in told_so
    assert "from 'text'" in told_so


def test_wired_parameters_are_checked_against_their_own_nodes():
    """The message tells the parameter and the node."""

    def distance(a: float, b: float) -> float:
        return a - b

    (told_so,) = problems_of(text, score, d=wire(distance, a="score", b="text"))
    assert "takes b: float from 'text', but 'text' at" in told_so


@batch(max=10, fallback=0.0)
async def prices(ids: Sequence[str], http: Http) -> Mapping[str, float | KeyError]:
    return {}


def test_a_lookup_takes_a_key_and_gives_a_value():
    """The key is an element of the batch's keys; an error in the mapping is no value."""

    def f(price: float) -> float:
        return price

    assert problems_of(f, price=lookup(prices, key="user")) == []
    (told_so,) = problems_of(price=lookup(prices, key="age"))
    assert "takes keys of str from 'age', but 'age' at" in told_so
    assert "gives int" in told_so
    (told_so,) = problems_of(price=lookup(prices, key="user"), f=node("price", str))
    assert told_so.endswith("gives float")


def test_a_batch_that_is_none_is_refused():
    """What gives no mapping, takes no sequence, or answers by other keys than it was asked."""

    @batch()
    async def listed(ids: Sequence[str]) -> list[float]:
        return []

    @batch()
    async def single(key: str) -> Mapping[str, float]:
        return {}

    @batch()
    async def crossed(ids: Sequence[str]) -> Mapping[int, float]:
        return {}

    told_so = problems_of(
        a=lookup(listed, key="user"), b=lookup(single, key="user"), c=lookup(crossed, key="user")
    )
    assert [each.partition(";")[0].partition("py:")[2].partition(" ")[2] for each in told_so] == [
        "gives list[float]",
        "takes key: str first",
        "takes keys of str, but gives a mapping by int",
    ]


def test_each_takes_elements_and_gives_a_list():
    """What it goes over is a sequence; its elements are what the body takes."""

    async def price(arm: str, http: Http) -> float:
        return 1.0

    def total(all_prices: Sequence[float]) -> float:
        return sum(all_prices)

    async def numbered(arm: int) -> float:
        return 1.0

    assert problems_of(total, all_prices=each(price, over="arms")) == []
    assert problems_of(all_prices=each(lookup(prices, key="arms"), over="arms")) == []
    (told_so,) = problems_of(all_prices=each(price, over="arms"), f=node("all_prices", list[str]))
    assert told_so.endswith("gives list[float]")
    (told_so,) = problems_of(all_prices=each(numbered, over="arms"))
    assert "takes arm: int from each of 'arms', but 'arms' at" in told_so
    for over in ("age", "user"):
        (told_so,) = problems_of(all_prices=each(price, over=over))
        assert f"goes over {over!r}, which must be a sequence, but {over!r} at" in told_so


# ---------------------------------------------------------------------- fallbacks


@pytest.mark.parametrize("value", ["none", None, 1j, [0.5]])
def test_a_fallback_value_of_the_wrong_type_is_refused(value):
    """(6) It would stand in for a float."""

    @fetch(fallback=value)
    async def live(user: str) -> float:
        return 1.0

    (told_so,) = problems_of(live)
    assert f"the fallback of 'live' at {__file__}" in told_so
    assert told_so.endswith(f"is {value!r}, but 'live' gives float")


def test_a_fallback_function_is_checked_by_what_it_says_it_returns():
    """(6) And it must be callable with the error alone."""

    def as_text(error: BaseException) -> str:
        return "no"

    def as_int(error: BaseException) -> int:
        return 0

    def unsaid(error):
        return "who knows"

    def of_nothing() -> float:
        return 0.0

    def fetched(fallback):
        @fetch(fallback=fallback)
        async def live(user: str) -> float:
            return 1.0

        return live

    (told_so,) = problems_of(live=fetched(as_text))
    assert "is the function at" in told_so
    assert told_so.endswith("which gives str, but 'live' gives float")
    assert problems_of(live=fetched(as_int)) == problems_of(live=fetched(unsaid)) == []
    assert problems_of(live=fetched(lambda error: "no")) == []
    assert "cannot be called with the error alone" in problems_of(live=fetched(of_nothing))[0]


def test_fallbacks_of_batches_and_bodies_are_those_of_one_key_and_one_element():
    """(6) Not of the mapping, not of the list."""

    @batch(fallback={})
    async def wrong(ids: Sequence[str]) -> Mapping[str, float]:
        return {}

    @fetch(fallback=[])
    async def price(arm: str) -> float:
        return 1.0

    assert problems_of(p=lookup(prices, key="user")) == []
    assert problems_of(p=lookup(wrong, key="user"))[0].endswith("is {}, but 'p' gives float")
    assert problems_of(p=each(price, over="arms"))[0].endswith("is [], but 'p' gives float")


# ---------------------------------------------------------------------- size


def test_five_thousand_nodes_are_checked_in_no_time():
    """Far below what reading the functions takes; the clock here is that of this process alone."""

    def make(place: int) -> Callable[..., Any]:
        def f(value: float, user: str) -> float:
            return value

        return f

    named = {
        f"n{place}": wire(make(place), value=f"n{place - 1}" if place else "age") for place in range(5_000)
    }
    graph = Graph(Given, **named)
    began = time.process_time()
    assert type_problems(graph.nodes, Given) == []
    assert time.process_time() - began < 2.0


def test_a_chain_of_ten_thousand_branches_is_read_without_recursion():
    """Each gives what all before it do."""
    nodes = {"b0": branch("user", then="age", otherwise="text")}
    for place in range(1, 10_000):
        nodes[f"b{place}"] = branch("user", then=f"b{place - 1}", otherwise="age")
    (told_so,) = problems_of(text, f=node("b9999", int), **nodes)
    assert "may give str, from 'text'" in told_so


# ---------------------------------------------------------------------- values with their types


def test_a_value_is_read_by_its_function():
    """Under its own name, under another one; what is no node or several is refused; no value says why."""

    def one(user: str) -> int:
        return 1

    def two(user: str) -> int:
        return 2

    def fails(user: str) -> int:
        raise ValueError(user)

    graph = Graph(
        Given,
        one,
        fails,
        other=two,
        a=wire(score, user="user"),
        b=wire(score, user="maybe_not"),
        maybe_not=text,
    )
    found = asyncio.run(graph.resolve(list(graph), given={"user": "u"}))
    assert (found.value_of(one), found.value_of(two)) == (1, 2)
    with pytest.raises(NoValue, match="'fails' has no value"):
        found.value_of(fails)
    with pytest.raises(BadRun, match="no node of this graph is it"):
        found.value_of(user_id)
    with pytest.raises(BadRun, match="it is 'a', 'b'"):
        found.value_of(score)
