"""Bounds and kinds of values that several requests share; and an arm as a request gives it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from sidecar.contracts.catalogue import MOST_ARMS

MAX_FEATURES = 256
MAX_ARMS = MOST_ARMS
MAX_REWARDS = 1_000
MAX_SLOTS = 50
MAX_HORIZON_S = 31_622_400.0
"""A year; applications allow less."""

MAX_MAGNITUDE = 1e9
"""Features beyond it are refused: the square of two crossed ones must still fit a float32."""

Id = Annotated[str, Meta(min_length=1, max_length=256, description="1 to 256 characters")]
Key = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A name inside the store: no control characters."""
Number = Annotated[float, Meta(ge=-MAX_MAGNITUDE, le=MAX_MAGNITUDE)]
Text = Annotated[str, Meta(max_length=1024)]
GivenFeatures = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=256)], Text | Number | bool],
    Meta(max_length=MAX_FEATURES, description="flat: name to string, number or boolean; at most 256"),
]


class GivenArm(Struct, frozen=True, forbid_unknown_fields=True):
    """An arm with features for this request only, merged over the catalogue's."""

    id: Id
    features: GivenFeatures = {}
