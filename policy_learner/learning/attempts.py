"""What is being learnt just now, and how often that has killed whoever tried: on disk before it is tried.

An example that kills VW must not do so for ever: not the process that runs VW, which is started again, and
not the learner, should it be taken along (memory ran out, somebody's patience). So before examples are handed
to VW their names are written down, and they are struck out when they are through. Names that a learner finds
when it starts have outlived their trial: that is a failure of each.

The file is written in place with one call, and not flushed: it need outlive processes, not the machine. A
torn one, or one that is not there, is an empty one, and on a full disk it stays as it was: then an example
may be tried more often than it should.
"""

from __future__ import annotations

import logging
import os
import weakref
import zlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct, field

from policy_learner.learning.vw_format import ExampleText

MOST_FAILURES = 3
"""With so many an example is given up."""
_KEPT = 1000
_HEAD_BYTES = 8

log = logging.getLogger("sidearm.learner")


class Failures(Struct, array_like=True):
    """Of one example."""

    times: int
    reason: str
    """Of the last one."""


class _Notes(Struct, array_like=True):
    failures: dict[str, Failures] = field(default_factory=dict)
    doing: list[str] = field(default_factory=list)


def name_of(text: ExampleText) -> str:
    """What an example is known by: the entries of one decision are examples of their own."""
    return f"{text.decision_id} {text.label or text.correction}"


class Attempts:
    """The notes of one learner.

    Args:
        path: of their file; None: they are kept in memory only.
    """

    def __init__(self, path: Path | None) -> None:
        self._descriptor: int | None = None
        self._notes = _Notes()
        self._is_told = False
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._notes = _read(path)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            weakref.finalize(self, os.close, self._descriptor)
        if self._notes.doing:
            self.failed(self._notes.doing, "took the learner along")

    def of(self, name: str) -> Failures | None:
        """How it went so far."""
        return self._notes.failures.get(name)

    @property
    def any(self) -> bool:
        """Whether something failed at all."""
        return bool(self._notes.failures)

    def begin(self, names: Iterable[str]) -> None:
        """They are tried from now on, beside those that are."""
        self._notes.doing += names
        self._write()

    def succeeded(self, names: Iterable[str]) -> None:
        """They are through."""
        self._strike(names, forget=True)
        self._write()

    def failed(self, names: Iterable[str], reason: str) -> None:
        """They were under way when it happened, the first ones of those that are."""
        names, failures = list(names), self._notes.failures
        for name in names:
            before = failures.pop(name, None)
            failures[name] = Failures(before.times + 1 if before else 1, reason)
        for oldest in list(failures)[:-_KEPT]:
            del failures[oldest]
        self._strike(names, forget=False)
        self._write()

    def withdrawn(self, names: Iterable[str]) -> None:
        """They are not tried any more, whatever they were."""
        self._strike(names, forget=False)
        self._write()

    def _strike(self, names: Iterable[str], forget: bool) -> None:
        names = list(names)
        gone = set(names)
        if self._notes.doing[: len(names)] == names:  # as ever: what was begun first is through first
            del self._notes.doing[: len(names)]
        else:
            self._notes.doing = [name for name in self._notes.doing if name not in gone]
        if forget and self._notes.failures:
            for name in gone:
                self._notes.failures.pop(name, None)

    def _write(self) -> None:
        if self._descriptor is None:
            return
        body = msgspec.msgpack.encode(self._notes)
        head = len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little")
        try:
            os.pwrite(self._descriptor, head + body, 0)
        except OSError as error:  # a full disk must not keep the learner from learning
            if not self._is_told:
                log.error("what is tried cannot be written down: %s", error)
            self._is_told = True
        else:
            self._is_told = False


def _read(path: Path) -> _Notes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return _Notes()
    size, checksum = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:_HEAD_BYTES], "little")
    body = data[_HEAD_BYTES : _HEAD_BYTES + size]
    if len(body) < size or zlib.crc32(body) != checksum:
        log.warning("%s is torn: what was tried before is not known", path)
        return _Notes()
    try:
        return msgspec.msgpack.decode(body, type=_Notes)
    except msgspec.MsgspecError as error:
        log.warning("%s: %s: what was tried before is not known", path, error)
        return _Notes()
