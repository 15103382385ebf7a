"""Processor time of the processes of a platform: what wall clocks on a shared machine cannot say."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from decision_service.cli.platform import Platform

_TICKS_S = os.sysconf("SC_CLK_TCK")


class Cost:
    """Seconds that each process took while it was looked at."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._began = seconds
        self._ended: dict[str, float] = {}

    def end(self, seconds: dict[str, float]) -> None:
        """The look is over."""
        self._ended = seconds

    def of(self, requests: float) -> dict[str, float]:
        """µs of each process for one of so many requests."""
        return {
            name: round((ended - self._began.get(name, 0.0)) / requests * 1e6, 1)
            for name, ended in self._ended.items()
        }


@contextlib.contextmanager
def micros_a_request(platform: Platform) -> Iterator[Cost]:
    """Look at a platform's processes until the block ends, each with its children."""
    cost = Cost(_seconds(platform))
    yield cost
    cost.end(_seconds(platform))


def _seconds(platform: Platform) -> dict[str, float]:
    roots = {part.name: part.child.pid for part in platform.parts}
    roots |= {server.kind.name: server.pid for server in platform.servers}
    children = _children()
    return {name: sum(map(_of_process, _tree(pid, children))) for name, pid in roots.items()}


def _tree(pid: int, children: dict[int, list[int]]) -> list[int]:
    return [pid, *(below for child in children.get(pid, []) for below in _tree(child, children))]


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def _of_process(pid: int) -> float:
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_S if fields else 0.0


def _fields(pid: int) -> list[str]:
    """Of ``/proc/<pid>/stat``, from the state on; none where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
