"""The catalogue, shown and changed."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from decision_service.api.values import MAX_ARMS, MAX_FEATURES, GivenArm, GivenFeatures, Id, Number, Text


class ArmFeatures(Struct, frozen=True, forbid_unknown_fields=True):
    """An arm, without its id: all that it has."""

    features: GivenFeatures = {}


PatchedFeatures = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=256)], Text | Number | bool | None],
    Meta(max_length=MAX_FEATURES, description="over the arm's own; null takes one away"),
]


class ArmPatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Some features of an arm; those that are not named stay."""

    features: PatchedFeatures


class PatchedArm(Struct, frozen=True, forbid_unknown_fields=True):
    """Some features of one of several arms."""

    id: Id
    features: PatchedFeatures


class ArmsRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes of the catalogue that take effect together, as one version; each arm stands in it once."""

    put: Annotated[list[GivenArm], Meta(max_length=MAX_ARMS)] = []
    """Added, or replaced as a whole."""
    change: Annotated[list[PatchedArm], Meta(max_length=MAX_ARMS)] = []
    """Given other features, such as a price."""
    retire: Annotated[list[Id], Meta(max_length=MAX_ARMS)] = []
    """Not shown any more. What was decided with them stays as it was."""
    version: Annotated[str, Meta(max_length=64)] | None = None
    """The version that this was made of: if another one is current, nothing changes, and it is 409."""
    reason: Annotated[str, Meta(max_length=256)] = ""
    """For people."""


class ArmsChanged(Struct, frozen=True, kw_only=True):
    """The catalogue after a change."""

    version: str
    before: str
    """The version that was changed; the same, if nothing had to be."""
    arms: int
    """How many there are."""


class ReplicaView(Struct, frozen=True, kw_only=True):
    """One service of the application."""

    replica: str
    version: str
    """Of the catalogue that it serves."""
    at: str
    """When it said so."""
    word: str
    """Why it does not serve the current one; empty if it does, or is about to."""


class ArmsView(Struct, frozen=True, kw_only=True):
    """The catalogue."""

    version: str
    """The current one."""
    revision: int
    """Counts the changes."""
    changed_at: str
    reason: str
    serving: str
    """The version that the service which answers decides with."""
    agreed: bool
    """Whether every service decides with the current one."""
    replicas: list[ReplicaView]
    arms: list[GivenArm]
    """Of the version ``serving``, in the order of scoring."""
