"""A run drawn for a terminal."""

from __future__ import annotations

import asyncio
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_graph import Graph, Span, Status, branch, fetch
from feature_graph.scope import note
from feature_graph.waterfall import Marks, draw
from tests.feature_graph.virtual_time import never, run


class Given(TypedDict):
    user: str


async def profile(user: str) -> int:
    note(attempts=3, hedge="won")
    await asyncio.sleep(0.04)
    return 0


async def visits(user: str) -> int:
    await asyncio.sleep(0.02)
    return 1


@fetch(fallback=0.5)
async def bureau(profile: int) -> float:
    await never()


graph = Graph(Given, profile, visits, bureau, score=branch("visits", then="bureau", otherwise="profile"))


def test_it_tells_what_the_run_waited_for_what_waited_and_where_the_deadline_was():
    """Full bars are the critical path; notes stand at the end."""
    found = run(lambda: graph.resolve("score", given={"user": "ann"}, deadline=0.08))

    assert found.waterfall(columns=73).splitlines() == [
        "visits  |████████                       ┊|    20.00 ms  ok",
        "profile |        ████████████████       ┊|    40.00 ms  ok  ×3, hedge won",
        "score   |        ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄|    60.00 ms  fallback",
        "bureau  |                        ████████|    20.00 ms  fallback",
    ]


def spans(*ends_ms):
    return [Span(f"n{n}", 0.0, end / 1000, Status.OK) for n, end in enumerate(ends_ms)]


def test_the_deadline_is_marked_if_the_run_reached_it():
    drawn = draw(spans(10, 40), 40, marks=Marks(deadline_s=0.03))

    assert drawn.splitlines()[0] == f"n0 |{'█' * 10}{' ' * 20}┊{' ' * 9}|    10.00 ms  ok"
    assert "┊" not in draw(spans(10, 40), 40, marks=Marks(deadline_s=0.2))


def test_who_held_the_loop_is_named():
    drawn = draw(spans(10, 40), 40, marks=Marks(blocked={"n1": 0.025}))

    assert drawn.splitlines()[1].endswith("ok  held the loop 25 ms")


@pytest.mark.parametrize(
    ("notes", "told"),
    [
        ({"attempts": 1}, "ok"),
        ({"attempts": 2}, "ok  ×2"),
        ({"batch": 8}, "ok  batch of 8"),
        ({"elements": 3, "stale_s": 2.5}, "ok  3 elements, stale 2.5 s"),
        ({"waited_s": 0.012}, "ok  waited 12 ms"),
        ({"gave_up": "budget"}, "ok  gave_up budget"),
    ],
)
def test_notes_are_told_in_words(notes, told):
    assert draw([Span("a", 0, 1, Status.OK, notes)], 10).endswith(f" ms  {told}")


def test_colours_only_if_asked():
    """Nothing but colours is added."""
    timeline = [Span("a", 0, 1, Status.OK), Span("b", 0, 1, Status.FAILED)]
    plain, coloured = draw(timeline), draw(timeline, colour=True)

    assert "\x1b" not in plain
    assert coloured.count("\x1b[32m") == coloured.count("\x1b[31m") == 1
    assert coloured.replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "") == plain


def test_nothing_to_draw():
    assert draw([]) == "nothing ran"


@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text("abc_", min_size=1, max_size=60),
            st.floats(0, 10),
            st.floats(0, 10),
            st.sampled_from(list(Status)[:2] + list(Status)[3:6]),
            st.dictionaries(st.sampled_from(["attempts", "batch", "hedge", "odd"]), st.integers(0, 10**6)),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([60, 80, 100]),
    st.none() | st.floats(0, 12),
)
def test_it_fits_whatever_happened(rows, columns, deadline_s):
    """Long names and notes are cut, bars never leave their frame."""
    timeline = [Span(name, start, start + took, status, notes) for name, start, took, status, notes in rows]

    drawn = draw(timeline, columns=columns, marks=Marks(deadline_s=deadline_s)).splitlines()

    assert len(drawn) == len(rows)
    assert max(map(len, drawn)) <= columns
    assert len({line.rindex("|") for line in drawn}) == 1
