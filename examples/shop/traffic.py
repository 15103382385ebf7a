"""The shop's sessions, live over HTTP: ask for a product, buy it or not, send the news when it is due.

Sessions come at a steady rate; a fixed number of connections serves them. Where the service is too slow for
the rate, they come as fast as it answers. Purchases are sent in batches, in no particular order, some of them
twice, some of them after the horizon.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import msgspec

from examples.shop.figures import Decided, Tally
from examples.shop.http1 import Connection
from examples.shop.simulator import Session, buys
from sidecar.contracts.application import Arm

BATCH_EVERY_S = 0.05
BATCH = 500
AGAIN_AFTER_S = 0.25
_LATER = (429, 503)
"""Statuses that say: try again."""


class Answer(msgspec.Struct, frozen=True):
    """What the traffic reads of a recommendation."""

    decision_id: str
    arm: str
    probability: float
    source: str
    model_version: int


class _Receipt(msgspec.Struct, frozen=True):
    status: str
    decision_id: str | None = None


class _Receipts(msgspec.Struct, frozen=True):
    rewards: list[_Receipt]


_answer = msgspec.json.Decoder(Answer)
_receipts = msgspec.json.Decoder(_Receipts)

Reward = dict[str, str]


@dataclass(order=True, slots=True)
class News:
    """A purchase that will be heard of."""

    due_s: float
    place: int
    """Among the decisions of the tally."""
    body: Reward = field(compare=False)


@dataclass(frozen=True, slots=True)
class Service:
    """Where the sessions go, and the clock and the pause that they live by."""

    host: str
    port: int
    key: str
    now_s: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def connect(self) -> Connection:
        """A connection, to be entered."""
        return Connection(self.host, self.port, self.key)


async def run_sessions(
    service: Service,
    world: Iterable[Session],
    arms: Iterable[Arm],
    tally: Tally,
    *,
    per_second: float,
    concurrency: int,
    seed: int,
) -> None:
    """Run every session of ``world`` and send all its news; what happens is written to ``tally``.

    Returns when the last purchase, late ones included, has been answered.

    Args:
        service: where they go.
        world: the sessions.
        arms: the shop's products.
        tally: what is seen, while it is seen.
        per_second: rate of arrival.
        concurrency: connections, and so the most sessions under way at once.
        seed: of the order in which purchases that are due together are sent.

    Raises:
        ConnectionLost: the service went away.
    """
    news: list[News] = []
    arriving = _arrivals(world, service.now_s(), per_second)
    by_id = {arm.id: arm for arm in arms}
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_send_news(service, news, tally, random.Random(seed), done))
        async with asyncio.TaskGroup() as visitors:
            for _ in range(concurrency):
                visitors.create_task(_visit(service, arriving, by_id, tally, news))
        done.set()


def _arrivals(world: Iterable[Session], start_s: float, per_second: float) -> Iterator[tuple[float, Session]]:
    for place, session in enumerate(world):
        yield start_s + place / per_second, session


async def _visit(
    service: Service,
    arriving: Iterator[tuple[float, Session]],
    arms: dict[str, Arm],
    tally: Tally,
    news: list[News],
) -> None:
    async with service.connect() as connection:
        for comes_s, session in arriving:
            early_s = comes_s - service.now_s()
            if early_s > 0:
                await service.sleep(early_s)
            asked_s = service.now_s()
            status, body = await connection.post("/v1/recommendations", request_of(session))
            now_s = service.now_s()
            if status != 201:
                tally.failed[status] += 1
                continue
            answer = _answer.decode(body)
            place = len(tally.decided)
            tally.decided.append(_decided(session, answer, now_s, now_s - asked_s))
            if buys(session, arms[answer.arm]):
                for item in news_of(session, answer, place, now_s):
                    heapq.heappush(news, item)


def request_of(session: Session) -> dict[str, object]:
    """What the shop's front end asks."""
    return {"session_id": session.session_id, "unit_id": session.unit_id, "context": session.context}


def news_of(session: Session, answer: Answer, place: int, now_s: float) -> Iterator[News]:
    """The purchase, and its repetition if there is one: the same body both times."""
    target = {"session_id": session.session_id} if session.by_session else {"decision_id": answer.decision_id}
    body: Reward = {**target, "event": "purchase", "reward_id": f"order-{session.session_id}"}
    yield News(now_s + session.delay_s, place, body)
    if session.repeat_after_s is not None:
        yield News(now_s + session.delay_s + session.repeat_after_s, place, body)


async def _send_news(
    service: Service, news: list[News], tally: Tally, rng: random.Random, done: asyncio.Event
) -> None:
    async with service.connect() as connection:
        while news or not done.is_set():
            batch: list[News] = []
            while news and news[0].due_s <= service.now_s() and len(batch) < BATCH:
                batch.append(heapq.heappop(news))
            if batch:
                rng.shuffle(batch)
                if await _post(connection, batch, tally) in _LATER:
                    again_s = service.now_s() + AGAIN_AFTER_S
                    for item in batch:
                        heapq.heappush(news, replace(item, due_s=again_s))
            else:
                await service.sleep(BATCH_EVERY_S)


async def _post(connection: Connection, batch: list[News], tally: Tally) -> int:
    """Send them; the status that came of it. Sending them again is safe: each has its key."""
    status, body = await connection.post("/v1/rewards/batch", {"rewards": [item.body for item in batch]})
    if status != 202:
        tally.failed[status] += 1
        return status
    for item, receipt in zip(batch, _receipts.decode(body).rewards, strict=True):
        tally.receipts[receipt.status] += 1
        if receipt.status == "accepted":
            tally.decided[item.place].rewarded = True
    return status


def _decided(session: Session, answer: Answer, now_s: float, latency_s: float) -> Decided:
    return Decided(
        number=session.number,
        arm=answer.arm,
        probability=answer.probability,
        source=answer.source,
        model_version=answer.model_version,
        at_s=now_s,
        latency_s=latency_s,
        decision_id=answer.decision_id,
    )
