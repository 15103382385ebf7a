"""Seeds of a service's spool: ``python -m tests.faults.spooling --seeds 0:300``.

A service decides, takes rewards and activations, loses its store, dies, loses what was not flushed, and is
started again; whoever asks repeats and gives up as the seed says. At the end the store is back, and must know
of everything that was answered, exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import decision_service
from decision_service.api.recommendations import ActivationRequest
from decision_service.api.rewards import RewardRequest
from decision_service.errors import SpoolFailed, StoreAway
from sidecar.contracts import journal
from sidecar.contracts.application import Application, Exploration
from sidecar.contracts.events import DecisionEvent, decode_decision
from sidecar.contracts.ids import new_decision_id, partition_of_decision, partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.scripts.decide import DecideStatus
from sidecar.contracts.spooled import spooled_in
from sidecar.contracts.store import Scripts
from tests.faults.actor import Crash
from tests.faults.customer import Violation
from tests.faults.simulate import store_in_memory
from tests.faults.spool_life import Disk, Faults, Life, quietly

APP, PARTITIONS = "spooling", 2
NOON_MS = 1_700_049_600_000


@dataclass
class Wish:
    """One request, whatever becomes of it."""

    session: str
    client_key: str
    deferred: bool
    ids: list[str] = field(default_factory=list)
    """What it was answered with, in turn."""
    tried: set[str] = field(default_factory=set)
    """All that it may have been given."""
    life: int = -1
    """In which it was answered last."""
    activated: bool = False


@dataclass
class Thanks:
    """One reward that was acknowledged."""

    key: str
    decision_id: str
    """Where it must be; empty: anywhere, once."""


class Spooling:
    def __init__(self, seed: int, scripts: Scripts, root: Path) -> None:
        self.rng = random.Random(seed)
        self.scripts, self.root = scripts, root
        self.application = Application(
            name=APP,
            partitions=PARTITIONS,
            reward=RewardConfig(horizon_s=3600.0, max_per_decision=1000, early_window_s=3600.0),
        )
        self.limit_bytes = self.rng.choice((1 << 20, 1 << 20, 3_000))
        self.faults, self.jumped_ms = Faults(self.rng), 0
        self.disk = Disk(self.faults)
        self.wishes: list[Wish] = []
        self.last: dict[str, str] = {}
        """Session to its last decision, where that is certain."""
        self.thanks: list[Thanks] = []
        self.unsure: list[Thanks] = []
        """By session, and perhaps still on their way: another service may be faster than they are."""
        self.lives, self.number = 0, 0
        self.life = Life(self)
        self.counts: Counter[str] = Counter()

    def now_ms(self) -> int:
        return NOON_MS + self.number + self.jumped_ms

    async def play(self) -> None:
        """The whole seed.

        Raises:
            Violation: an invariant is broken.
        """
        ways = (
            self._ask,
            self._again,
            self._reward,
            self._activate,
            self._toggle,
            self._drain,
            self._restart,
        )
        with mock.patch("decision_service.spool_files.os.fdatasync", self.disk):
            for _ in range(self.rng.randrange(20, 60)):
                self.number += 1
                self.life.guard.closed = not self.faults.away or self.rng.random() < 0.3
                way = self.rng.choices(ways, (20, 8, 20, 4, 6, 6, 3))[0]
                await self._unless_it_dies(way)
                if self.life.spool.bytes > self.limit_bytes:
                    raise Violation(f"I8 the spool holds {self.life.spool.bytes} of {self.limit_bytes} bytes")
            await self._end()
        self.life.die()

    async def _unless_it_dies(self, way) -> None:
        try:
            await way()
        except Crash:
            await self._next_life()

    async def _next_life(self) -> None:
        self.counts["died"] += 1
        self.life.die()
        if self.rng.random() < 0.5:
            self.disk.cut_power(self)
        for thanks in self.unsure:
            thanks.decision_id = ""
        self.unsure.clear()
        self.last.clear()
        self.lives += 1
        self.life = Life(self)
        with mock.patch.multiple(self.faults, dying=0.0, full=0.0):
            await self.life.spool.adopt()
        for wish in self.wishes:  # what it has found it knows
            if any(self.life.spool.decision(decision_id) for decision_id in wish.ids):
                wish.life = self.lives

    async def _restart(self) -> None:
        if self.rng.random() < 0.5:
            raise Crash
        await self.life.spool.close()
        await self._next_life()

    async def _toggle(self) -> None:
        self.faults.away = not self.faults.away

    async def _drain(self) -> None:
        with mock.patch.object(self.faults, "full", 0.0):
            await self.life.drain()
        if not len(self.life.spool):
            self.unsure.clear()

    async def _ask(self) -> None:
        session = f"s-{self.rng.randrange(4)}"
        key = self.rng.choice(("", f"k-{len(self.wishes)}"))
        self.wishes.append(Wish(session, key, self.rng.random() < 0.2))
        await self._wish(self.wishes[-1])

    async def _again(self) -> None:
        keyed = [wish for wish in self.wishes[-8:] if wish.client_key]
        if keyed:
            await self._wish(self.rng.choice(keyed))

    async def _wish(self, wish: Wish) -> None:
        event = self._event(wish)
        wish.tried.add(event.decision_id)
        self.last.pop(wish.session, None)
        decided = await self.life.log.append(event)
        self.counts[decided.status] += 1
        if decided.status is DecideStatus.FULL:
            return
        if decided.status is DecideStatus.CONFLICT or decided.decision_id not in wish.tried:
            raise Violation(f"I1 {wish} is answered with {decided}")
        if decided.decision_id in wish.ids:
            wish.life = self.lives
            return
        if wish.life == self.lives and decided.decision_id == event.decision_id:  # not of an unheard attempt
            raise Violation(f"I1 {wish} is given {decided.decision_id} by the same service")
        wish.ids.append(decided.decision_id)
        wish.life = self.lives
        if len(wish.tried) == 1:
            self.last[wish.session] = decided.decision_id

    def _event(self, wish: Wish) -> DecisionEvent:
        partition = partition_of_session(wish.session, PARTITIONS)
        return DecisionEvent(
            decision_id=new_decision_id(partition, self.now_ms(), self.rng.getrandbits(64)),
            session_id=wish.session,
            unit_id=wish.session,
            decided_at_ms=self.now_ms(),
            horizon_ms=3_600_000,
            source="model",
            policy="champion",
            model_version=0,
            catalogue="c",
            context={},
            outcomes={},
            arms=("a",),
            given_arms={},
            scores=b"\0\0\0\0",
            exploration=Exploration(),
            arm="a",
            arm_index=0,
            propensity=1.0,
            seed="1",
            client_key=wish.client_key,
            digest=wish.client_key and "digest",
            deferred=wish.deferred,
        )

    async def _reward(self) -> None:
        """By decision, or by session where it is certain which is its last."""
        given = [i for wish in self.wishes[-8:] for i in wish.ids]
        if not given:
            return
        thanks = Thanks(f"r-{self.number}", self.rng.choice(given))
        request = RewardRequest(decision_id=thanks.decision_id, event="purchase", reward_id=thanks.key)
        by_session = bool(self.last) and self.rng.random() < 0.5
        if by_session:
            session, thanks.decision_id = self.rng.choice(sorted(self.last.items()))
            request = RewardRequest(session_id=session, event="purchase", reward_id=thanks.key)
        try:
            (receipt,) = await self.life.rewarder.take([request], "", str)
        except (SpoolFailed, StoreAway):
            return
        if receipt.status in ("late", "over_limit", "unknown"):
            raise Violation(f"I3 {thanks} is {receipt.status}")
        self.thanks.append(thanks)
        if by_session and len(self.life.spool):
            self.unsure.append(thanks)

    async def _activate(self) -> None:
        deferred = [wish for wish in self.wishes[-12:] if wish.deferred and len(wish.ids) == 1]
        if not deferred:
            return
        wish = self.rng.choice(deferred)
        try:
            receipt = await self.life.activator.activate(wish.ids[0], ActivationRequest())
        except (SpoolFailed, StoreAway):
            return
        if receipt.status == "unknown" and wish.life == self.lives:
            raise Violation(f"I1 nobody knows what is to be activated: {wish}")
        wish.activated = wish.activated or receipt.status in ("activated", "duplicate")

    async def _end(self) -> None:
        """The store is back, and everything that waits is sent; in some seeds too late."""
        late = self.rng.random() < 0.15
        self.faults.rest()
        self.life.guard.closed = True
        if late:
            await self._too_late()
        await self.life.drain()
        left = [path for path in self.root.glob("*/*.spool") if path.stat().st_size]
        if len(self.life.spool) or left:
            raise Violation(f"I8 {len(self.life.spool)} records wait, and {left}")
        if late:
            return
        refused = self.root / "refused.spool"
        if refused.exists():
            raise Violation("I1 good records are refused")
        await self._check()

    async def _too_late(self) -> None:
        """What the store has forgotten might count twice: it is kept aside, all of it."""
        waiting = {held.event.decision_id for held in self.life.spool.first(10**6).values() if held.event}
        self.jumped_ms = round(self.application.reward.tombstone_s * 1000) + 60_000
        self.scripts.client.flushall()
        await self.life.drain()
        if there := self._in_store():
            raise Violation(f"I1 sent though the store had forgotten: {there}")
        path = self.root / "refused.spool"
        kept = list(spooled_in(path.read_bytes())) if path.exists() else []
        if gone := waiting - {decode_decision(r.body).decision_id for r in kept if r.kind == "decision"}:
            raise Violation(f"I1 neither sent nor kept aside: {gone}")

    def _in_store(self) -> set[str]:
        client = self.scripts.client
        return {i.decode() for p in range(PARTITIONS) for i in client.zrange(Keys(APP, p).due, 0, -1)}

    async def _check(self) -> None:
        """I1 and I3 over the store."""
        there = self._in_store()
        told = {i for wish in self.wishes for i in wish.ids}
        tried = {i for wish in self.wishes for i in wish.tried}
        if told - there:
            raise Violation(f"I1 answered, and not there: {sorted(told - there)}")
        if there - tried:
            raise Violation(f"I1 there, and nobody's: {sorted(there - tried)}")
        homes: dict[str, list[str]] = defaultdict(list)
        for decision_id in sorted(there):
            keys = Keys(APP, partition_of_decision(decision_id, PARTITIONS))
            stored = await journal.read_decision(Life(self).remote, keys, decision_id)
            for reward in stored.rewards:
                homes[reward.key].append(decision_id)
            for wish in self.wishes:
                if wish.ids[:1] == [decision_id] and wish.activated and stored.deferred:
                    raise Violation(f"I1 activated, and not so: {wish}")
        for thanks in self.thanks:
            found = homes[thanks.key]
            if len(found) != 1 or thanks.decision_id not in ("", found[0]):
                raise Violation(f"I3 {thanks} is in {found}")


def play(seed: int, scripts: Scripts) -> Counter[str]:
    """One seed.

    Raises:
        AssertionError: it breaks an invariant.
    """
    scripts.client.flushall()
    root = Path(tempfile.mkdtemp(prefix="spooling-")) / "spool"
    try:
        sim = Spooling(seed, scripts, root)
        logging.disable(logging.CRITICAL)
        asyncio.run(quietly(sim.play()))
    except Exception as error:
        command = f"python -m tests.faults.spooling --seeds {seed}:{seed + 1}"
        told = error if isinstance(error, AssertionError) else repr(error)
        raise AssertionError(f"seed {seed}: {told}\nrepeat it: {command}") from error
    finally:
        logging.disable(logging.NOTSET)
        shutil.rmtree(root.parent, ignore_errors=True)
    return sim.counts


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:300", help="first:end")
    arguments = parser.parse_args(argv)
    assert Path(decision_service.__file__).is_relative_to(Path(__file__).parents[2])
    first, _, end = arguments.seeds.partition(":")
    began, totals = time.monotonic(), Counter[str]()
    with store_in_memory() as (client, _):
        scripts = Scripts.on(client)
        for seed in range(int(first), int(end)):
            try:
                totals += play(seed, scripts)
            except AssertionError as error:
                print(error, flush=True)
                return 1
    print(f"{int(end) - int(first)} seeds in {time.monotonic() - began:.1f} s; {dict(totals)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
