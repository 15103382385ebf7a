"""The catalogue while the service runs: follow the store, swap the shelf, say which version is served.

The arms of the application's file are put in place when they are new, once; from then on the store says which
version is current, and whoever changes it does so by one script. Each service looks four times a second: that
is one small read, and a change is everywhere long before a second is over. While the store is away, the last
catalogue goes on; every decision names the one that it was made with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import cast

from decision_service.catalogues import Catalogues
from decision_service.errors import Outdated, StoreAway
from decision_service.event_log import patiently
from decision_service.prepolicy import Shelf, Shelves
from sidecar.contracts import keys
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.live_arms import ArmsChange, changed
from sidecar.contracts.scripts.call import Call
from sidecar.contracts.scripts.catalogue import (
    ArmsNow,
    CatalogueStatus,
    change_call,
    decode_arms_now,
    file_call,
    parse_catalogue,
    serving_arms_call,
)
from sidecar.contracts.store import AsyncScripts

LOOK_EVERY_S = 0.25
_AGAIN_S = 0.5
_SAY_EVERY = 120
"""Looks between two words of what is served, if it is the same."""
_TRIES = 20
"""Somebody else would have to be faster each time."""
_MS_DIGITS = 14
"""Of a time that a calendar knows."""
_GONE = "its arms are not in the store"

log = logging.getLogger("sidearm.decision_service")


class LiveArms:
    """The catalogue of one application; belongs to one event loop.

    Args:
        scripts: on the store.
        app: the application.
        file: the arms of its file.
        shelves: what decisions are made from.
        catalogues: those that are known by version.
        replica: this service, among those of the application.
        behind: told 1 while another version is current than is served, else 0.
    """

    def __init__(
        self,
        scripts: AsyncScripts,
        app: str,
        file: Catalogue,
        shelves: Shelves,
        catalogues: Catalogues,
        replica: str,
        behind: Callable[[float], None],
    ) -> None:
        self._scripts, self._app, self._file = scripts, app, file
        self._shelves, self._catalogues = shelves, catalogues
        self._replica, self._behind = replica, behind
        self._complaint = ""
        self._said = "", ""
        self.published = False
        """The store knows the catalogue that is served, and which one is to be."""

    @property
    def serving(self) -> str:
        """The version that decisions are made with."""
        return self._shelves.current.catalogue.version

    async def follow(self) -> None:
        """Keep the shelf current until cancelled; outages of the store are waited out."""
        looks = 0
        while True:
            try:
                if not self.published:
                    await self._begin()
                await self._look()
                if self._said != (self.serving, self._complaint) or looks % _SAY_EVERY == 0:
                    await self._catalogues.publish()
                    await self._say()
                looks += 1
            except StoreAway as error:
                log.warning("catalogue: %s", error.__cause__ or error)
                await asyncio.sleep(_AGAIN_S)
            await asyncio.sleep(LOOK_EVERY_S)

    async def now(self) -> ArmsNow:
        """Which catalogue is current.

        Raises:
            StoreAway: the store did not answer, or does not know yet.
        """
        found = await self._now()
        if found is None:
            raise StoreAway("no catalogue is current yet; try again")
        return found

    async def replicas(self) -> Mapping[bytes, bytes]:
        """What the services of the application said last.

        Raises:
            StoreAway: the store did not answer.
        """
        found = await patiently(lambda: self._scripts.client.hgetall(keys.arms_serving(self._app)))
        return cast("dict[bytes, bytes]", found)

    async def change(self, change: ArmsChange, expected: str | None, reason: str) -> tuple[str, Catalogue]:
        """Change the current catalogue; the version before, and the catalogue now.

        Args:
            change: what.
            expected: the version that it was made of; None: whichever is current.
            reason: for people.

        Raises:
            BadArms: the catalogue cannot take it.
            Outdated: another version is current than was expected.
            StoreAway: the store did not answer; sending it again is safe.
        """
        for _ in range(_TRIES):
            current = await self._current()
            if expected not in (None, current.version):
                raise Outdated(f"version {current.version} is current, not {expected}")
            wanted = changed(current, change)
            call = change_call(self._app, wanted, current.version, reason, self._file.version)
            status, _ = await self._run(call)
            if status is not CatalogueStatus.MOVED:
                self._swap(wanted)
                return current.version, wanted
        raise Outdated("the catalogue was changed again and again by somebody else: try again")

    async def _begin(self) -> None:
        """The file's arms, if nobody knew them; where the store was emptied, those that are served."""
        current = self._shelves.current.catalogue
        if current is self._file or current.version == self._file.version:
            await self._run(file_call(self._app, self._file))
        else:
            await self._run(change_call(self._app, current, "", "the store had none", self._file.version))
        self.published = True

    async def _look(self) -> None:
        """Serve what is current."""
        now = await self._now()
        if now is None:
            self.published = False  # the store was emptied
            return
        self._behind(float(now.version != self.serving))
        if now.version == self.serving:
            self._complaint = ""
            return
        catalogue = await self._catalogues.of(now.version)
        if catalogue is None:
            self._complain(now.version)
        else:
            self._swap(catalogue)

    def _swap(self, catalogue: Catalogue) -> None:
        if catalogue.version != self.serving:
            log.info("catalogue %s, %d arms, after %s", catalogue.version, len(catalogue.arms), self.serving)
            self._catalogues.current = catalogue
            self._shelves.current = Shelf(catalogue)
        self._behind(0.0)

    def _complain(self, version: str) -> None:
        if not self._complaint:
            log.error("catalogue %s is current, but %s: %s goes on", version, _GONE, self.serving)
        self._complaint = _GONE

    async def _current(self) -> Catalogue:
        now = await self.now()
        catalogue = await self._catalogues.of(now.version)
        if catalogue is None:
            raise StoreAway(f"catalogue {now.version} is current, but {_GONE}")
        return catalogue

    async def _now(self) -> ArmsNow | None:
        fields = await patiently(lambda: self._scripts.client.hgetall(keys.arms_now(self._app)))
        return decode_arms_now(cast("dict[bytes, bytes]", fields))

    async def _run(self, call: Call) -> tuple[CatalogueStatus, str]:
        return parse_catalogue(await patiently(lambda: self._scripts.run(call)))

    async def _say(self) -> None:
        call = serving_arms_call(self._app, self._replica, self.serving, self._complaint)
        await patiently(lambda: self._scripts.run(call))
        self._said = self.serving, self._complaint

    async def leave(self) -> None:
        """Be no replica any more; where the store is away, nobody hears of it."""
        with suppress(StoreAway):
            await patiently(lambda: self._scripts.client.hdel(keys.arms_serving(self._app), self._replica))


def replica_of(stored: bytes) -> tuple[int, str, str] | None:
    """When a service said what it serves, which version, and why not the current one; None: foreign bytes."""
    at_ms, _, rest = stored.decode(errors="replace").partition("|")
    version, _, word = rest.partition("|0|")
    return (int(at_ms), version, word) if at_ms.isdecimal() and len(at_ms) <= _MS_DIGITS else None
