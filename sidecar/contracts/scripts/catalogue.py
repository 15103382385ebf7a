"""``catalogue.lua``: which version of the catalogue is current. Also what a service says that it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from sidecar.contracts import keys
from sidecar.contracts.catalogue import Catalogue, encode_arms
from sidecar.contracts.scripts.call import Call, text

_END_OF_TIME_MS = 253_402_300_800_000  # the year 10,000
FROM_FILE = "the application's file"


class CatalogueStatus(StrEnum):
    """What became of a catalogue that was to be put in place."""

    OK = "OK"
    SAME = "SAME"
    """It is so already."""
    SEEN = "SEEN"
    """The file's was in place before, and another one is since."""
    MOVED = "MOVED"
    """Another one is current than that which it was made of."""


class ArmsNow(NamedTuple):
    """Which catalogue is current."""

    version: str
    revision: int
    """Counts the changes."""
    at_ms: int
    """Of the last one, by the store's clock."""
    reason: str


def file_call(app: str, file: Catalogue) -> Call:
    """Put the arms of the application's file in place, unless they were before."""
    return _call(app, "file", file, "", FROM_FILE, file.version)


def change_call(app: str, wanted: Catalogue, expected: str, reason: str, file: str) -> Call:
    """Put ``wanted`` in place of the version ``expected``; empty: there is none yet.

    Args:
        app: the application.
        wanted: the catalogue.
        expected: what must be current.
        reason: for people.
        file: version of the arms in the sender's file, which is not put in place after that.
    """
    return _call(app, "change", wanted, expected, reason, file)


def parse_catalogue(reply: Sequence[bytes]) -> tuple[CatalogueStatus, str]:
    """What became of it, and which version is current."""
    status, current = reply
    return CatalogueStatus(text(status)), text(current)


def decode_arms_now(fields: Mapping[bytes, bytes]) -> ArmsNow | None:
    """From the hash ``keys.arms_now``; None when no catalogue is current, or foreign bytes say which."""
    try:
        revision, at_ms = int(fields[b"revision"]), int(fields[b"at_ms"])
        if not 0 <= at_ms < _END_OF_TIME_MS:
            return None
        return ArmsNow(text(fields[b"version"]), revision, at_ms, text(fields.get(b"reason", b"")))
    except (KeyError, ValueError):
        return None


def serving_arms_call(app: str, replica: str, version: str, word: str) -> Call:
    """A service says which version it serves, and, if it should serve another, why it does not."""
    where = (keys.arms_serving(app), keys.arms_now(app), keys.app_skew(app))
    return Call("serving", where, (replica, version, "0", word))


def _call(app: str, kind: str, wanted: Catalogue, expected: str, reason: str, file: str) -> Call:
    where = (keys.arms_now(app), keys.catalogues(app), keys.arms_notices(app), keys.app_skew(app))
    what = (kind, wanted.version, encode_arms(wanted.arms), expected, reason, file)
    return Call("catalogue", where, what)
