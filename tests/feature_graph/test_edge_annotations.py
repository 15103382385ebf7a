"""Where the types along edges come from: annotations, whatever these are."""

from __future__ import annotations

import functools
import re
import sys
import textwrap
import types
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypedDict

import pytest

from feature_graph import BadGraph, Graph, Outcome, fetch, wire

if TYPE_CHECKING:
    from elsewhere import OnlyForCheckers
from tests.feature_graph.typed_nodes import Client, Http, P, R, T, node, problems_of, score, text


class Row(TypedDict):
    name: str


class Shadowed: ...


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
