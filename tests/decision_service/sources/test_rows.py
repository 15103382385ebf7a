"""What a key is, and rows that are simply there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from decision_service.sources.constant import Called, Fixed
from decision_service.sources.errors import BadAnswer, BadKey, BadSource, RowMissing
from decision_service.sources.rows import check_parts, key_text, typed
from feature_graph import KeyMissing

PART = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.integers(-(2**63), 2**64 - 1)


@given(st.lists(PART, min_size=2, max_size=3), st.lists(PART, min_size=2, max_size=3))
def test_two_keys_of_as_many_parts_are_one_text_only_if_they_are_one_key(one: list, other: list):
    """Whatever separators the parts themselves hold; a number is its decimal text."""
    same = [str(part) for part in one] == [str(part) for part in other]
    assert (key_text(tuple(one)) == key_text(tuple(other))) == same or len(one) != len(other)


@pytest.mark.parametrize("key", [None, 1.0, True, b"a", ["a"], ("a", None), "\ud800", "x" * 1025, 2**64])
def test_what_is_no_key_is_refused(key):
    """Before it reaches a store; the message does not hold it."""
    with pytest.raises(BadKey) as caught:
        key_text(key)
    assert "xx" not in str(caught.value)


def test_a_key_has_as_many_parts_as_its_table():
    """A tuple of one is the part itself."""
    check_parts("a", 1)
    check_parts(("a",), 1)
    with pytest.raises(BadKey, match="2 parts"):
        check_parts("a", 2)
    assert key_text(("a",)) == key_text("a")


class Row(Struct):
    n: int
    text: str = ""


def test_a_row_is_checked_against_its_type():
    """What a model would be shown otherwise is a surprise."""
    assert typed({"n": 1, "more": 2}, Row, "t") == Row(1)
    assert typed({"n": 1, "more": 2}, dict, "t") == {"n": 1, "more": 2}
    for wrong in ({}, {"n": "1"}, {"n": 1, "text": None}, 7):
        with pytest.raises(BadAnswer, match="a row of t is no Row"):
            typed(wrong, Row, "t")


async def test_fixed_rows_are_there_and_others_are_missing():
    """None can be a row, and a default."""
    rows = Fixed({"a": None, 17: 2})
    assert await rows.get("a") is None
    assert await rows.get("17") == 2
    assert await rows.many(["a", "b", 17]) == {"a": None, 17: 2}
    with pytest.raises(RowMissing) as caught:
        await rows.get("b")
    assert isinstance(caught.value, KeyMissing)
    assert await Fixed({}, default=None).get("b") is None
    with pytest.raises(BadKey):
        await rows.get(1.5)


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_function_is_a_source(blocking):
    """Its LookupError is a missing row, everything else is its own."""
    rows = Called({"a": 1}.__getitem__, blocking=blocking)
    assert await rows.get("a") == 1
    assert await rows.many(["a", "b", "a"]) == {"a": 1}
    with pytest.raises(RowMissing):
        await rows.get("b")
    with pytest.raises(ZeroDivisionError):
        await Called(lambda key: 1 / 0, blocking=blocking).get("a")


async def test_an_async_function_is_awaited_and_never_put_into_a_thread():
    """That would give a coroutine for a row."""

    async def length(key: str) -> int:
        return len(key)

    assert await Called(length).get("abc") == 3
    with pytest.raises(BadSource, match="async"):
        Called(length, blocking=True)
