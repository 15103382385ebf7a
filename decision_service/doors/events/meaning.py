"""Which of our events is meant by a name of others', and what it is worth."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

from decision_service.errors import BadRequest, FieldError
from decision_service.times import millis
from sidecar.contracts.application import Application
from sidecar.contracts.track_section import TrackConfig

_SYNONYMS = {
    "order_completed": "purchase",
    "order_refunded": "refund",
    "product_viewed": "view",
    "product_clicked": "click",
    "product_added": "add_to_cart",
}
"""Of Segment's specification for shops."""
_MOST_KEY = 256
_NO_WORD = re.compile(r"[^a-z0-9]+")


def meaning_of(name: str, application: Application) -> TrackConfig | None:
    """What ``name`` is here; None: no reward.

    As the application says; else an event of its table with that name, however it is written, with the last
    part of it behind a dot, or with the name that Segment's specification has for it.
    """
    if name in application.track:
        return application.track[name]
    word = _NO_WORD.sub("_", name.lower()).strip("_")
    for event in (name, word, name.rpartition(".")[2], _SYNONYMS.get(word, "")):
        if event in application.reward.events:
            return TrackConfig(event)
    return None


def worth(meant: TrackConfig, properties: Mapping[str, Any], place: str) -> float | None:
    """The reward; None: as the table of events has it.

    Raises:
        BadRequest: the property that holds it is no number.
    """
    if not meant.value:
        return None
    said = properties.get(meant.value)
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        raise BadRequest(
            FieldError(f"{place}/{meant.value}", "required, since it is the reward; legal: a number")
        )
    return said * meant.factor


def key_of(*parts: str) -> str:
    """One key of several names: the same for the same.

    >>> key_of("shop", "order-77")
    'shop#order-77'
    """
    key = "#".join(parts)
    if len(key) <= _MOST_KEY and key.isprintable():
        return key
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def time_of(said: object) -> str | None:
    """When it happened; None where that cannot be read: it is recorded, and nothing hangs on it."""
    if not isinstance(said, str):
        return None
    try:
        millis(said)
    except ValueError:
        return None
    return said
