"""``strangers.lua``: what is no decision does not stay among those that wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sidecar.contracts.ids import has_our_form
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.call import Call


class Members(NamedTuple):
    """Members of a timer: ids, and what has not the form of one."""

    ids: list[str]
    strangers: list[bytes]


def sorted_out(members: Sequence[bytes]) -> Members:
    """Ids apart from strangers, each in their order.

    >>> sorted_out([b"0-18bcfe5680000000000000000ff", b"who?"])
    Members(ids=['0-18bcfe5680000000000000000ff'], strangers=[b'who?'])
    """
    texts = [member.decode("ascii", "replace") for member in members]
    ids = [one for one in texts if has_our_form(one)]
    if len(ids) == len(texts):  # as nearly ever
        return Members(ids, [])
    return Members(ids, [member for member, one in zip(members, texts, strict=True) if not has_our_form(one)])


def strangers_call(keys: Keys, strangers: Sequence[bytes]) -> Call:
    """One call for all of them."""
    return Call("strangers", (keys.due, keys.orphans, keys.counters), tuple(strangers))
