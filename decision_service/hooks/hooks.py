"""Look for news, and tell them: what goes on beside the requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import httpx

from decision_service.errors import StoreAway
from decision_service.hooks.news import Look, News, Notice, first, news_of
from decision_service.hooks.outbox import Outbox
from decision_service.hooks.signing import headers_of

LOOK_S = 1.0
PAUSES_S = (5.0, 30.0, 300.0, 1_800.0, 7_200.0)
"""Between attempts; after the last one an address is not told of it any more."""
_TIMEOUT_S = 10.0

log = logging.getLogger("sidearm.decision_service")

Seen = Callable[[Sequence[Notice]], Awaitable[Look]]
"""What there is to be seen beside the notices."""


class Hooks:
    """Belongs to one event loop.

    Args:
        outbox: in the store.
        addresses: who is to be told.
        secret: of the signatures.
        seen: what there is to be seen.
        now_s: the wall clock, of which receivers have one too.
        counted: told what became of each message.
        pauses_s: between attempts.
    """

    def __init__(
        self,
        outbox: Outbox,
        addresses: Sequence[str],
        secret: bytes,
        seen: Seen,
        now_s: Callable[[], float],
        counted: Callable[[str], None],
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._outbox, self._addresses, self._secret = outbox, addresses, secret
        self._seen, self._now_s, self._counted, self._pauses_s = seen, now_s, counted, pauses_s

    def works(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What goes on until cancelled: the look, and each address apart, so that none waits for another."""
        yield self._forever(self._look, "looking for news")
        for address in self._addresses:
            yield self._keep_telling(address)

    async def _keep_telling(self, address: str) -> None:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False) as client:
            await self._forever(partial(self._tell, client, address), "telling them")

    async def _forever(self, step: Callable[[], Awaitable[None]], what: str) -> None:
        while True:
            try:
                await step()
            except StoreAway as error:
                log.debug("webhooks, %s: %s", what, error)
            except Exception:  # other addresses, and later news, do not fall with it
                log.exception("webhooks: %s failed", what)
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        if not await self._outbox.is_mine():
            return
        told = await self._outbox.told()
        look = await self._seen(await self._outbox.notices("" if told is None else told.notice))
        news, then = ([], first(look)) if told is None else news_of(look, told)
        if then != told:
            await self._outbox.write(news, then)

    async def _tell(self, client: httpx.AsyncClient, address: str) -> None:
        """All that is new for one address, if this replica is the one that does."""
        place = await self._outbox.place_of(address)
        while await self._outbox.is_mine() and (entry := await self._outbox.after(place)):
            place, news = entry
            self._counted(await self._delivered(client, address, news))
            await self._outbox.heard(address, place)

    async def _delivered(self, client: httpx.AsyncClient, address: str, news: News) -> str:
        """What became of a message, after as many attempts as it takes."""
        for pause_s in (*self._pauses_s, 0.0):
            word = await self._attempt(client, address, news)
            if word:
                return word
            await asyncio.sleep(pause_s)
        log.warning(
            "webhooks: %s was not told of %s, %d times", _host(address), news.id, len(self._pauses_s) + 1
        )
        return "given_up"

    async def _attempt(self, client: httpx.AsyncClient, address: str, news: News) -> str:
        """``delivered``, ``gone``, or nothing: try again. Each attempt is signed with its own time."""
        body = news.body()
        headers: Mapping[str, str] = headers_of(self._secret, news.id, int(self._now_s()), body)
        try:
            response = await client.post(address, content=body, headers=headers)
        except httpx.HTTPError as error:
            log.info("webhooks: %s: %s", _host(address), type(error).__name__)
            return ""
        if response.status_code == httpx.codes.GONE:
            return "gone"
        return "delivered" if response.is_success else ""


def _host(address: str) -> str:
    """For logs: an address may hold a secret."""
    return httpx.URL(address).host
