"""What a start has loaded lies in large pages, and is what it was."""

from __future__ import annotations

import sys

import pytest

from decision_service import large_pages as large_pages_module
from decision_service.large_pages import LARGE_BYTES, large_pages, lay_together


def test_only_whole_large_pages_of_memory_that_can_be_written_and_is_no_files() -> None:
    """Text, mapped files, stacks, and what is smaller than a page, are left as they are."""
    maps = """\
200000-600000 r-xp 00000000 fe:00 260104                     /usr/bin/python3.11
600000-a00000 rw-p 00000000 fe:00 260104                     /usr/bin/python3.11
a00000-b00000 rw-p 00000000 00:00 0
bff000-1000000 rw-p 00000000 00:00 0                          [heap]
1000000-1400000 r--p 00000000 00:00 0
7ffc00000000-7ffc00400000 rw-p 00000000 00:00 0               [stack]"""
    assert list(large_pages(maps.splitlines())) == [0xC00000, 0xE00000]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux")
def test_nothing_is_changed_by_it() -> None:
    """Whether or not this kernel makes large pages."""
    told = bytes(range(256)) * (8 * LARGE_BYTES // 256)
    assert lay_together() >= 0
    assert told == bytes(range(256)) * (8 * LARGE_BYTES // 256)


def test_where_nothing_tells_of_the_memory_it_stays_as_it_is(monkeypatch, tmp_path) -> None:
    """A jail without /proc is no reason not to start."""
    monkeypatch.setattr(large_pages_module, "_MAPS", tmp_path / "maps")
    assert lay_together() == 0
