"""Canaries: models that never change and never answer, so that what moves in their scores is the world.

Of each decision a canary's highest score counts. The first of them are its reference, which the store keeps,
so that every replica compares with the same one and a restart changes nothing; the latest are counted in the
reference's bins, older ones weighing less and less.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import cast

import msgspec
import numpy as np

from decision_service.drift import Reference, bin_of, reference_of, stability_index
from decision_service.scored import Scored
from sidecar.contracts import keys
from sidecar.contracts.roster import Model, Roster
from sidecar.contracts.store import AsyncClient

log = logging.getLogger("sidearm.decision_service")

REFERENCE_DECISIONS = 2_000
_HALVED_AFTER = 2_000
"""Decisions after which one counts half."""
_DECAY = 0.5 ** (1 / _HALVED_AFTER)
_LEAST = 200
"""Decisions below which nothing is said of drift."""
_TOLD_EVERY = 50
_decoder = msgspec.json.Decoder(Reference)

Tell = Callable[[str, float], None]
"""Is told a canary's name and how far its scores have moved."""


class Canaries:
    """Watches the scores of one application's canaries; belongs to one event loop.

    Args:
        client: of the store, which keeps the references.
        app: the application's name.
        tell: is told how far each has moved.
    """

    def __init__(self, client: AsyncClient, app: str, tell: Tell) -> None:
        self._client, self._app, self._tell = client, app, tell
        self._flights: dict[str, Flight] = {}

    def heard(self, roster: Roster, said: Mapping[str, Scored]) -> None:
        """What models said of one decision."""
        for model in roster.models:
            if model.role == "canary" and (scored := said.get(model.name)) is not None:
                flight = self._flights.setdefault(_field(model), Flight())
                flight.add(float(scored.values.max()))
                if flight.drift is not None and flight.decisions % _TOLD_EVERY == 0:
                    self._tell(model.name, flight.drift)

    def drifts(self) -> dict[str, float]:
        """Canary to how far its scores have moved, of those of which enough is known."""
        found = {field.partition("@")[0]: flight.drift for field, flight in self._flights.items()}
        return {name: drift for name, drift in found.items() if drift is not None}

    async def refresh(self, roster: Roster) -> None:
        """Take the references that the store has, and give it those that it has not.

        Raises:
            StoreError: the store failed.
        """
        fields = {_field(model) for model in roster.models if model.role == "canary"}
        self._flights = {field: flight for field, flight in self._flights.items() if field in fields}
        for field in fields:
            await self._settle(field, self._flights.setdefault(field, Flight()))

    async def _settle(self, field: str, flight: Flight) -> None:
        if flight.settled:
            return
        where = keys.canaries(self._app)
        own = flight.own_reference()
        if own is not None:
            await self._client.hsetnx(where, field, msgspec.json.encode(own).decode())
        stored = cast("bytes | None", await self._client.hget(where, field))
        if stored is None:
            return
        try:
            flight.settle(_decoder.decode(stored))
        except msgspec.MsgspecError as error:
            log.warning("what lies in the store is no reference of canary %s: %s", field, error)


class Flight:
    """One canary's scores, first those of its reference, then the latest in its bins."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._reference: Reference | None = None
        self._counts = np.zeros(1)
        self.settled = False
        """The reference is the store's."""
        self.decisions = 0
        """That were compared with it."""

    def add(self, score: float) -> None:
        """The highest score of one more decision."""
        if self._reference is None:
            if len(self._first) < REFERENCE_DECISIONS:
                self._first.append(score)
            return
        self._counts *= _DECAY
        self._counts[bin_of(self._reference, score)] += 1.0
        self.decisions += 1

    def own_reference(self) -> Reference | None:
        """Of the first scores; None while there are too few."""
        return reference_of(self._first) if len(self._first) >= REFERENCE_DECISIONS else None

    def settle(self, reference: Reference) -> None:
        """Compare with ``reference`` from now on."""
        self._reference, self.settled = reference, True
        self._counts = np.zeros(len(reference.shares))
        self._first.clear()

    @property
    def drift(self) -> float | None:
        """How far the latest scores are from the reference; None while there are too few."""
        if self._reference is None or self.decisions < _LEAST:
            return None
        return stability_index(self._reference, self._counts)


def _field(model: Model) -> str:
    return f"{model.name}@{model.version}"
