"""The books: every decision and every reward is in exactly one place, or the imbalance says how many are not.

The scripts count what they take in and what they let out; nothing else touches those counters. What waits
in between is measured from the store itself, so that anything lost or doubled shows as a number that is
not 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple


def clock_of(stored: bytes | None) -> int:
    """The latest time that a partition's scripts have seen, in milliseconds; 0 where nothing says so.

    >>> clock_of(b"1700000000000"), clock_of(None), clock_of(b"soon")
    (1700000000000, 0, 0)
    """
    return int(stored) if stored and len(stored) <= 15 and stored.isdigit() else 0


_WHOLE = re.compile(rb"-?\d{1,18}\Z")


class Books(NamedTuple):
    """What is missing (positive) or doubled (negative); both must be 0."""

    decisions: int
    rewards: int

    @property
    def balanced(self) -> bool:
        """Nothing is missing, nothing is double."""
        return self == (0, 0)


def books(counters: Mapping[str, int], pending: int, awaited: int, open_rewards: int | None = None) -> Books:
    """Balance what went in against what came out and what still waits.

    Args:
        counters: from :func:`counters_of`.
        pending: decisions that wait for their horizon.
        awaited: decisions that have not arrived, but have rewards.
        open_rewards: rewards held for either, counted one by one; None if nobody counted. Then losses among
            them show only when nothing waits, and until then only what came out twice.

    >>> books({"dec": 3, "fin": 2, "rew": 4, "rew_joined": 3}, pending=1, awaited=0, open_rewards=1)
    Books(decisions=0, rewards=0)
    >>> books({"dec": 3, "fin": 2, "rew": 4, "rew_joined": 3}, pending=0, awaited=0)
    Books(decisions=1, rewards=1)
    """
    decisions = counters.get("dec", 0) - counters.get("fin", 0) - pending
    held = counters.get("rew", 0) - counters.get("rew_joined", 0) - counters.get("rew_orphan", 0)
    if open_rewards is None:
        open_rewards = max(held, 0) if pending or awaited else 0
    return Books(decisions, held - open_rewards)


def counters_of(stored: Mapping[bytes, bytes]) -> dict[str, int]:
    """The counters of a partition, all whole numbers.

    Decisions: ``dec``, ``dec_dup``, ``dec_conflict``, ``dec_shed``, ``dec_thinned``, ``dec_lost``, ``fin``
    (``fin_never``, never activated, among them). Activations: ``act``, ``act_dup``, ``act_late``,
    ``act_unknown``. Rewards: ``rew`` (``rew_early`` and ``rew_unknown`` among them), ``rew_joined``,
    ``rew_orphan``, ``rew_late``, ``rew_dup`` (``rew_contradicts`` among them), ``rew_over``. Entries for the
    trainer alone: ``asm``, ``comp``, ``early_ex``. What was no decision: ``strangers``; keys of another kind
    than ours: ``foreign``. What is no whole number is left out: the books then do not balance.
    """
    whole = {name: value for name, value in stored.items() if name != b"clock_ms" and _WHOLE.match(value)}
    return {name.decode(errors="replace"): int(value) for name, value in whole.items()}
