"""Graphs that are wrong are refused when built, in one message that names both places."""

from __future__ import annotations

import asyncio
import copy
import functools
import pickle
import re
from typing import TypedDict

import pytest

from feature_graph import BadGraph, BadRun, Graph, Outcome, branch, fetch, first_of


class Given(TypedDict):
    user: str


async def profile(user: str) -> dict[str, int]:
    return {"age": 30}


def age(profile: dict[str, int]) -> int:
    return profile["age"]


def resolve(graph: Graph, goals, given):
    return asyncio.run(graph.resolve(goals, given=given))


def problems_of(*nodes, **named) -> str:
    with pytest.raises(BadGraph) as refused:
        Graph(Given, *nodes, **named)
    return str(refused.value)


def test_an_unknown_name_is_refused_with_the_nearest_one_and_both_places():
    """(1) The message holds the line of the consumer and the line of what was probably meant."""

    def score(profil: dict[str, int]) -> int:
        return 1

    message = problems_of(profile, score)

    assert "'score'" in message
    assert "needs 'profil'" in message
    assert "nearest: 'profile'" in message
    assert len(re.findall(r"test_building\.py:\d+", message)) == 2


def test_a_name_near_an_input_is_told_so():
    """(1) Inputs are candidates too, and their place is the TypedDict."""

    async def f(usr: str) -> int:
        return 1

    assert re.search(r"nearest: 'user' \(input of .*Given\)", problems_of(f))


def test_an_unknown_name_is_refused_even_if_it_has_a_default():
    """(7) Else a typo would quietly be the default for ever."""
    assert "needs 'theshold'" in problems_of(profile, f=lambda profile, theshold=3: 1)


def test_every_problem_is_told_at_once():
    """Two mistakes, one message."""
    message = problems_of(a=lambda nobody: 1, b=lambda no_one: 2)
    assert message.count("\n  - ") == 2


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_cycle_is_refused_with_its_path(length):
    """(2) Of one, two and more nodes; the path comes back to where it began."""
    names = [f"n{place}" for place in range(length)]
    nodes = {name: eval(f"lambda {names[place - 1]}: 1") for place, name in enumerate(names)}

    message = problems_of(**nodes)

    path = re.search(r"a cycle: (.*?) \(", message).group(1).split(" -> ")
    assert path[0] == path[-1]
    assert set(path) == set(names)


def test_a_cycle_through_both_sides_of_one_condition_is_accepted():
    """(3) It cannot close: one run takes one side."""
    graph = Graph(
        Given,
        chosen=lambda user: user == "a",
        x=lambda user: "x",
        a=branch("chosen", then="b", otherwise="x"),
        b=branch("chosen", then="x", otherwise="a"),
    )
    assert resolve(graph, ["a", "b"], {"user": "a"}).values == {"a": "x", "b": "x"}
    assert resolve(graph, ["b"], {"user": "z"}).values == {"b": "x"}
    assert graph.worst_case("a") == 0.0


def test_a_cycle_that_some_condition_would_close_is_refused():
    """(3) Both branches take the same side of the condition: some run would close the ring."""
    message = problems_of(
        chosen=lambda user: True,
        x=lambda user: "x",
        a=branch("chosen", then="b", otherwise="x"),
        b=branch("chosen", then="a", otherwise="x"),
    )
    assert "a -> b -> a" in message


def test_a_cycle_through_a_later_choice_is_refused():
    """(3) The first choice may fail, and then the ring closes."""
    message = problems_of(x=lambda user: 1, a=first_of("x", "b"), b=lambda a: a)
    assert "a -> b -> a" in message


def test_duplicates_are_refused_with_both_places():
    """(4) Two nodes, or a node and an input, of one name."""

    def age(user: str) -> int:
        return 2

    message = problems_of(globals()["age"], age, profile, user=lambda: "me")

    assert "two nodes are called 'age'" in message
    assert len(re.findall(r"test_building\.py:\d+", message)) == 3
    assert "'user' is both an input of" in message


def test_star_arguments_are_refused():
    """(7) Names are the edges, and these have none."""
    assert "takes *args" in problems_of(f=lambda *args: 1)
    assert "takes **kwargs" in problems_of(f=lambda **kwargs: 1)


def test_generators_are_refused():
    """(8) A stream is no value; a generator could be read once only."""

    async def stream(user: str):
        yield 1

    def rows(user: str):
        yield 1

    assert "'stream' at" in problems_of(stream)
    assert "is an async generator" in problems_of(stream)
    assert "is a generator" in problems_of(rows)


def test_positional_only_keyword_only_and_defaults_are_wired():
    """(7) Every legal kind of parameter is an edge."""

    def f(user, /, age, *, profile, user_again=None) -> tuple:
        return (user, age, profile["age"], user_again)

    graph = Graph(Given, profile, age, f, user_again=lambda user: user * 2)
    assert resolve(graph, "f", {"user": "u"})["f"] == ("u", 30, 30, "uu")


def test_partials_methods_objects_and_lambdas_are_nodes():
    """(8) Anything callable that tells its parameters; what a partial binds is no edge."""

    class Weigh:
        def __call__(self, age: int) -> int:
            return age + 1

        def method(self, age: int) -> int:
            return age + 2

    class Call:
        async def __call__(self, user: str) -> str:
            return user.upper()

    graph = Graph(
        Given,
        profile,
        age,
        Weigh().method,
        heavy=Weigh(),
        upper=Call(),
        scaled=functools.partial(lambda age, factor: age * factor, factor=10),
        doubled=lambda age: age * 2,
    )
    found = resolve(graph, ["method", "heavy", "upper", "scaled", "doubled"], {"user": "u"})
    assert found.values == {"method": 32, "heavy": 31, "upper": "U", "scaled": 300, "doubled": 60}


def test_what_has_no_name_needs_one():
    """(8) A lambda, a partial, a branch: under a keyword."""
    message = problems_of(
        lambda user: 1, functools.partial(age), branch("user", then="user", otherwise="user")
    )
    assert message.count("has no name") == 3


def test_what_is_no_function_is_refused():
    """A value handed in as a node is told to be none."""
    assert "3 is no node" in problems_of(f=3)


def test_a_plain_def_cannot_be_marked_as_a_fetch():
    """The decorator and the colour of the function must agree."""

    @fetch(timeout=1)
    def slow(user: str) -> int:
        return 1

    assert "marked @fetch but is a plain def" in problems_of(slow)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "50ms", True])
def test_a_timeout_is_a_positive_number_of_seconds(timeout):
    """Refused where it is written."""
    with pytest.raises(BadGraph, match=r"test_building\.py:\d+: timeout is"):
        fetch(timeout=timeout)


def test_a_fallback_may_not_fetch_nor_be_a_class():
    """A fallback is a value or a plain function of the error."""

    async def again(error: BaseException) -> int:
        return 1

    @fetch(fallback=again)
    async def f(user: str) -> int:
        return 1

    @fetch(fallback=dict)
    async def g(user: str) -> dict:
        return {}

    assert "may not fetch" in problems_of(f)
    assert "is the class dict" in problems_of(g)


def test_inputs_are_declared_in_a_typed_dict():
    """A dict, a dataclass or nothing is refused."""
    with pytest.raises(BadGraph, match="legal: a TypedDict"):
        Graph(dict)


def test_first_of_nothing_is_refused():
    """There is no first of none."""
    with pytest.raises(BadGraph, match="names no node"):
        first_of()


def test_decorated_functions_stay_ordinary():
    """A test calls them with values, no graph needed."""

    @fetch(timeout=1, fallback=0)
    async def visits(user: str) -> int:
        return len(user)

    assert asyncio.run(visits("abc")) == 3


def test_an_empty_graph_and_no_goals_are_legal():
    """(9) Nothing asked, nothing found."""
    assert resolve(Graph(Given), [], {}).values == {}
    assert resolve(Graph(Given, profile), [], {"user": "u"}).outcomes["profile"].status == "not_needed"


def test_goals_may_be_inputs_given_or_repeated():
    """(9) An input is there; the same goal twice is one goal."""
    graph = Graph(Given, profile, age)
    found = resolve(graph, ["user", "age", "age"], {"user": "u"})
    assert found.values == {"user": "u", "age": 30}
    assert found.statuses == {"user": "given", "age": "ok"}


@pytest.mark.parametrize(
    ("goals", "given", "told"),
    [
        ("agee", {"user": "u"}, "the goal 'agee' is neither .* nearest: 'age'"),
        ("age", {}, "the input 'user' was not given; 'profile' at .* needs it"),
        ("user", {}, "the goal 'user' is an input that was not given"),
        ("age", {"user": "u", "usr": 1}, "the given name 'usr' .* nearest: 'user'"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_it_starts(goals, given, told):
    """(9) A service finds out with ``plan`` when it starts."""
    graph = Graph(Given, profile, age)
    with pytest.raises(BadRun, match=told):
        graph.plan(goals, given)


@pytest.mark.parametrize("deadline", [float("nan"), "1s", True])
def test_a_deadline_is_a_number_of_seconds(deadline):
    """Anything else is refused, not guessed."""
    graph = Graph(Given, profile)
    with pytest.raises(BadRun, match="deadline is"):
        asyncio.run(graph.resolve("profile", given={"user": "u"}, deadline=deadline))


def test_required_names_must_be_goals():
    """A required name that is not asked for is a mistake."""
    with pytest.raises(BadRun, match="'profile' is required but is no goal"):
        asyncio.run(Graph(Given, profile, age).resolve("age", given={"user": "u"}, required=["profile"]))


def test_an_input_that_is_not_given_may_have_a_default():
    """Optional inputs are parameters with defaults."""

    class Optional(TypedDict, total=False):
        user: str
        locale: str

    graph = Graph(Optional, f=lambda user, locale="en": (user, locale))
    assert resolve(graph, "f", {"user": "u"})["f"] == ("u", "en")
    assert resolve(graph, "f", {"user": "u", "locale": "fr"})["f"] == ("u", "fr")


def test_plans_are_compiled_once_per_goals_and_given_names():
    """The order in which names are given does not matter."""

    class Two(TypedDict):
        a: int
        b: int

    graph = Graph(Two, c=lambda a, b: a - b)
    assert graph.plan("c", {"a": 1, "b": 2}) is graph.plan(["c"], {"b": 2, "a": 1})
    assert graph.plan("c", {"a": 1, "b": 2}) is not graph.plan("c", {"c": 0})
    for number in range(600):
        graph.plan(["c"] * number, {"a": 1, "b": 2})
    assert len(graph._plans) <= 256


def test_a_graph_is_pickled_and_copied_as_its_declaration():
    """(55) Functions travel by name; a deep copy resolves the same."""
    graph = Graph(Given, profile, age)
    for other in (pickle.loads(pickle.dumps(graph)), copy.deepcopy(graph)):
        assert resolve(other, "age", {"user": "u"})["age"] == 30
    assert repr(graph) == "Graph(2 nodes, inputs user)"
    assert list(graph) == ["profile", "age"]
    assert "age" in graph
    assert len(graph) == 2


def test_the_outcome_annotation_is_read_without_evaluating_it():
    """(5) As text (this module), as an object, and with names that do not exist at run time."""

    def as_text(profile: Outcome[NotImported]) -> str:  # noqa: F821
        return profile.status.value

    def as_object(profile) -> str:
        return profile.status.value

    as_object.__annotations__["profile"] = Outcome[dict[str, int]]
    found = resolve(Graph(Given, profile, as_text, as_object), ["as_text", "as_object"], {"user": "u"})
    assert found.values == {"as_text": "ok", "as_object": "ok"}


def test_mermaid_shows_kinds_timeouts_and_what_is_conditional():
    """The picture of a goal holds what the goal may need and nothing else."""

    @fetch(timeout=0.05)
    async def score(user: str) -> float:
        return 1.0

    graph = Graph(
        Given,
        profile,
        age,
        score,
        other=lambda user: 1,
        risk=branch("age", then="score", otherwise="best"),
        best=first_of("score", "age"),
    )
    assert graph.mermaid("risk").splitlines() == [
        "flowchart LR",
        '    n0(["user"])',
        '    n1[["profile"]]',
        '    n2["age"]',
        '    n3[["score<br/>≤ 50 ms"]]',
        '    n4{"risk"}',
        '    n5{"best"}',
        "    n0 --> n1",
        "    n1 --> n2",
        "    n0 --> n3",
        "    n2 -- if --> n4",
        "    n3 -. then .-> n4",
        "    n5 -. otherwise .-> n4",
        "    n3 -. 1 .-> n5",
        "    n2 -. 2 .-> n5",
    ]
    assert '"other"' in graph.mermaid()
    with pytest.raises(BadRun, match="'rsk'"):
        graph.mermaid("rsk")


def test_the_worst_case_is_known_before_anything_runs():
    """Timeouts along the slowest path; a branch waits for its condition, a first_of for each failure."""

    def timed(timeout):
        async def f(user):
            return 1

        return fetch(timeout=timeout)(f)

    async def untimed(user: str) -> int:
        return 1

    def both(a: int, b: int) -> int:
        return a + b

    graph = Graph(
        Given,
        untimed,
        both,
        a=timed(0.1),
        b=timed(0.25),
        either=branch("a", then="b", otherwise="user"),
        tried=first_of("a", "b", "user"),
        unbounded=first_of("a", "untimed"),
    )
    assert graph.worst_case("both") == 0.25
    assert graph.worst_case("either") == pytest.approx(0.35)
    assert graph.worst_case("tried") == pytest.approx(0.35)
    assert graph.worst_case("unbounded") == float("inf")
    assert graph.worst_case("user") == 0.0
    with pytest.raises(BadRun, match="nobody"):
        graph.worst_case("nobody")
