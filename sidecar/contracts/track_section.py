"""``[track.NAME]``: what others call an event, and which of ours it is."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from sidecar.contracts.reward_section import EventName

TrackName = Annotated[str, Meta(min_length=1, max_length=256)]


class TrackConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[track.NAME]``: a tracker's event, or the type of a CloudEvent, that is a reward."""

    event: EventName
    """Of `[reward] events`."""
    value: str = ""
    """The property that holds the reward, such as `revenue`; empty: what the table of events says."""
    factor: float = 1.0
    """By which that is multiplied: -1 for refunds, 0.01 for cents."""
