"""Whose id is it? Ids of our form are ours; all others are names that clients chose inside their sessions."""

from __future__ import annotations

from sidecar.contracts.errors import BadId
from sidecar.contracts.ids import partition_of_decision

MOST_PARTITIONS = 256


def is_ours(decision_id: str) -> bool:
    """Whether an id has the form of those that this platform makes.

    >>> is_ours("3-18bcfe5680000000000000000ff"), is_ours("order-77")
    (True, False)
    """
    try:
        partition_of_decision(decision_id, MOST_PARTITIONS)
    except BadId:
        return False
    return True
