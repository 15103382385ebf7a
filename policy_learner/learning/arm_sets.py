"""The arms of examples: equal arms are one object, so that the trainer reads each of them once.

Features fetched for single arms make arms of their own for every decision, and mostly the same few again:
twenty products, each scarce or not. What the trainer keeps, it keeps by identity.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from sidecar.contracts.application import Arm
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.events import DecisionEvent, arms_of

_ARMS_IN_SETS_KEPT = 262_144
_ARMS_KEPT = 65_536
_encode = msgspec.msgpack.Encoder().encode


class Catalogues(Protocol):
    """Where catalogues are found (``join.catalogues``)."""

    def get(self, version: str) -> Catalogue:
        """The catalogue of a version.

        Raises:
            UnknownCatalogue: there is none.
        """


class ArmSets:
    """Arms of decisions, with the features that they were scored with.

    Args:
        catalogues: where the arms come from.
    """

    def __init__(self, catalogues: Catalogues) -> None:
        self._catalogues = catalogues
        self._sets: dict[bytes, tuple[Arm, ...]] = {}
        self._arms_in_sets = 0
        self._arms: dict[bytes, Arm] = {}

    def of(self, event: DecisionEvent) -> tuple[Arm, ...]:
        """The eligible arms of a decision, in the order of its scores.

        Raises:
            UnknownCatalogue: its catalogue is not known.
            BadEvent: a column of features is broken.
        """
        catalogue = self._catalogues.get(event.catalogue)
        if not (event.arms or event.given_arms or event.arm_features):
            return catalogue.arms
        # As bytes: to Python True and 1.0 are equal, and they are not the same feature.
        seen = _encode((event.catalogue, event.arms, event.given_arms, event.arm_features))
        key = hashlib.blake2b(seen, digest_size=16).digest()
        found = self._sets.get(key)
        if found is None:
            found = tuple([self._one(arm) for arm in arms_of(event, catalogue)])
            self._keep(key, found)
        return found

    def _keep(self, key: bytes, arms: tuple[Arm, ...]) -> None:
        if self._arms_in_sets + len(arms) > _ARMS_IN_SETS_KEPT:
            self._sets.clear()
            self._arms_in_sets = 0
        self._sets[key] = arms
        self._arms_in_sets += len(arms)

    def _one(self, arm: Arm) -> Arm:
        if len(self._arms) >= _ARMS_KEPT:
            self._arms.clear()
        return self._arms.setdefault(_encode(arm), arm)
