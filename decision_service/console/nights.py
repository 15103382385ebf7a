"""What evaluations left in their folders: those of every night, and those that somebody asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from decision_service.errors import NotFound
from sidecar.contracts.evaluating import ANSWER, FOLDER, PAGE

_MOST_BYTES = 32 * 1024 * 1024
_MOST_NIGHTS = 90


class Number(Struct, frozen=True):
    """With its interval."""

    value: float
    low: float
    high: float


class _Estimate(Struct, frozen=True):
    estimator: str
    value: Number | None
    difference: Number | None


class _Candidate(Struct, frozen=True):
    candidate: str
    rows: int
    effective_rows: float
    verdict: str
    headline: str
    estimates: tuple[_Estimate, ...]
    on_policy: _Estimate


class _File(Struct, frozen=True):
    """As much of ``evaluation.json`` as a list shows."""

    candidates: tuple[_Candidate, ...]
    fingerprint: str = ""


_file = msgspec.json.Decoder(_File)


class CandidateLine(Struct, frozen=True):
    """What one evaluation said of one candidate."""

    candidate: str
    rows: int
    effective_rows: float
    verdict: str
    estimator: str
    """Whose numbers these are; empty: all were withheld."""
    value: Number | None
    difference: Number | None
    """To what was logged."""
    logged: float | None
    """What the logger earned on these rows."""


class Night(Struct, frozen=True):
    """One evaluation."""

    name: str
    """The last day that was evaluated, or the name of the one that somebody asked for."""
    fingerprint: str
    candidates: tuple[CandidateLine, ...]


class Shelf:
    """The finished evaluations of one application, each read once.

    Args:
        folder: of its evaluations.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, tuple[int, Night]] = {}

    def nights(self) -> list[Night]:
        """Those of the nights, the newest first; what cannot be read is left out."""
        return self._read(sorted(_days(self._folder), reverse=True)[:_MOST_NIGHTS])

    def asked(self, names: Iterable[str]) -> list[Night]:
        """Those that somebody asked for."""
        return self._read(self._folder / FOLDER / name for name in names)

    def answer(self, name: str) -> bytes:
        """The whole file of one.

        Raises:
            NotFound: there is none.
        """
        return self._bytes(name, ANSWER)

    def page(self, name: str) -> bytes:
        """Its page for people.

        Raises:
            NotFound: there is none.
        """
        return self._bytes(name, PAGE)

    def _bytes(self, name: str, file: str) -> bytes:
        for path in (self._folder / FOLDER / name, self._folder / name):
            if is_name(name) and (path / file).is_file() and (path / file).stat().st_size <= _MOST_BYTES:
                return (path / file).read_bytes()
        raise NotFound(f"no evaluation {name[:64]!r} can be seen from here")

    def _read(self, places: Iterable[Path]) -> list[Night]:
        return [night for place in places if (night := self._night(place))]

    def _night(self, place: Path) -> Night | None:
        path = place / ANSWER
        with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            told = path.stat()
            known = self._known.get(path)
            if known is None or known[0] != told.st_mtime_ns:
                if told.st_size > _MOST_BYTES:
                    return None
                known = told.st_mtime_ns, _night_of(place.name, _file.decode(path.read_bytes()))
                self._known[path] = known
            return known[1]
        self._known.pop(path, None)
        return None


def is_name(name: str) -> bool:
    """Whether it is that of a folder of ours: a day, or a moment; no path.

    >>> [is_name(one) for one in ("2026-03-01", "20260301T120000-1f2e", "../keys", "", "asked")]
    [True, True, False, False, False]
    """
    return name[:4].isdigit() and name.replace("-", "").replace("T", "").isalnum() and name.isascii()


def _days(folder: Path) -> list[Path]:
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(ValueError):
                dt.date.fromisoformat(path.name)
                found.append(path)
    return found


def _night_of(name: str, file: _File) -> Night:
    return Night(name, file.fingerprint, tuple([_line(one) for one in file.candidates]))


def _line(one: _Candidate) -> CandidateLine:
    named = [estimate for estimate in one.estimates if estimate.estimator == one.headline]
    headline = named[0] if named else None
    logged = one.on_policy.value
    return CandidateLine(
        one.candidate,
        one.rows,
        one.effective_rows,
        one.verdict,
        one.headline,
        headline.value if headline else None,
        headline.difference if headline else None,
        logged.value if logged else None,
    )
