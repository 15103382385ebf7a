"""The shop, minute by minute: the real decision path and the real learner, on a clock that is moved.

Real: store, sidecar (a process), the whole decision service but its HTTP (in this process: rules, feature
graph, rendezvous, draw, log, rewards), the learner with VW, joining, gate, publishing and promotion. Ours:
the shoppers, and the time, which jumps from minute to minute for store and learner; and all luck, which is a
session's own and the same at every run, in whatever order the machine gets round to them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import msgspec
import redis

from decision_service.api.recommendations import Recommendation, RecommendationRequest
from decision_service.api.rewards import RewardRequest
from decision_service.deciding import decide_one
from decision_service.opening import open_service
from decision_service.service import Service
from decision_service.settings import ServiceSettings
from examples.shop.simulator import HORIZON_S, Session, Shopper, expected_reward, sessions
from policy_learner.loop import step
from policy_learner.settings import LearnerSettings
from policy_learner.state import Deps, Learner, open_learner
from sidecar.contracts import keys as app_keys
from sidecar.contracts.application import load_application
from sidecar.contracts.catalogue import load_catalogue
from sidecar.contracts.contests import Promotion, Shown, decode_promotion, decode_shown
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.roster import Roster
from sidecar.contracts.rostering import change_roster, read_roster
from sidecar.contracts.store import Scripts
from sidecar.contracts.store_address import Stores
from tests.processes import Processes
from tests.waiting import until

MINUTE_MS = 60_000
SOON_S, HORIZON_MINUTES = 0.3, 2
"""Half of the purchases are heard of in the minute of their decision, most others in the next one, and those
that the simulator has come late after the horizon."""
AT_ONCE = 64
BEGAN_MS, SECRET = 1_700_000_000_000, "ab" * 32
"""What a draw depends on beside the session."""
LOUDER = 1.4
"""They buy so much more than in the example: all is seen sooner."""


class Shop:
    """One application with its processes; see :func:`shop_by_minutes`.

    Args:
        folder: of the application.
        data: for learner and service.
        client: of the store, which is empty.
        service: open, in a loop of ``runner``.
        runner: of all that is asynchronous.
    """

    def __init__(
        self,
        folder: Path,
        data: DataFolder,
        client: redis.Redis,
        service: Service,
        runner: asyncio.Runner,
    ) -> None:
        self.application = load_application(folder)
        self.arms = {arm.id: arm for arm in load_catalogue(folder, self.application).arms}
        self.client, self.scripts, self.service, self._runner = client, Scripts.on(client), service, runner
        self._sessions = self._number = 0
        self._news: list[list[RewardRequest]] = [[] for _ in range(HORIZON_MINUTES + 2)]
        self._now_s = 0.0
        self.taken_for: Callable[[Shopper, str], str] = lambda who, arm: arm
        """Which product a shopper likes as much as that one; tastes turn by it."""
        settings = LearnerSettings(
            archive_every_s=86_400.0, compact_every_s=0.0, history_every_s=1.0, gate_compared=50
        )
        self.learner: Learner = open_learner(
            Deps(self.application, settings, data, self.scripts, lambda: self._now_s)
        )

    def begin(self, seed: int) -> None:
        """Other shoppers, other luck, and the tastes of the simulator."""
        self.settle()
        self.taken_for = lambda who, arm: arm
        self._sessions = 1_000_000 * (seed + 1)

    def minute(self, count: int) -> list[Recommendation]:
        """So many sessions, the purchases of before, a minute later, and the learner's look."""
        visitors = list(sessions(1, self._sessions, count))
        self._sessions += count
        decided = self._runner.run(self._decided(visitors))
        for visitor, answer in zip(visitors, decided, strict=True):
            if visitor.luck < self.chance(visitor.shopper, answer.arm):
                reward = RewardRequest(decision_id=answer.decision_id, event="purchase", reward_id="order")
                self._news[heard_after(visitor)].append(reward)
        self._runner.run(self._rewarded(self._news.pop(0)))
        self._news.append([])
        self.move()
        while step(self.learner):
            pass
        return decided

    def move(self) -> None:
        """A minute later, for the store and the learner."""
        for partition in range(self.application.partitions):
            self.client.incrby(Keys(self.application.name, partition).skew, MINUTE_MS)
        self.client.incrby(app_keys.app_skew(self.application.name), MINUTE_MS)
        self._now_s += MINUTE_MS / 1000

    def settle(self) -> None:
        """Let all that is under way come to its end."""
        for _ in range(HORIZON_MINUTES + 2):
            self.minute(0)

    def deploy(self, *models) -> None:
        """These models and no others, heard by service and sidecar."""
        change_roster(
            self.scripts,
            self.application.name,
            lambda old: msgspec.structs.replace(old, models=models),
            "deployed",
        )
        self.follow()

    def follow(self) -> None:
        """Wait until service and sidecar have the roster of the store."""
        names = {one.name for one in self.roster.models}

        def heard() -> bool:
            self._runner.run(self.service.look_again())
            self._number += 1
            (answer,) = self._runner.run(self._decided(list(sessions(2, self._number, 1))))
            event = self._runner.run(self.service.decisions.find(answer.decision_id))
            scored = {event.policy, *[one.policy for one in (*event.candidates, *event.shadows)]}
            return scored == names

        until(heard)

    @property
    def roster(self) -> Roster:
        return read_roster(self.client, self.application.name)

    @property
    def shown(self) -> Shown:
        return decode_shown(self.client.hget(app_keys.contests(self.application.name), "shown"))

    @property
    def promotions(self) -> list[Promotion]:
        """Oldest first."""
        notices = self.client.xrange(app_keys.model_notices(self.application.name))
        found = [decode_promotion(fields) for _, fields in notices]
        return [one for one in found if one is not None]

    async def _decided(self, visitors: Sequence[Session]) -> list[Recommendation]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(session: Session) -> Recommendation:
            luck = random.Random(session.session_id).getrandbits(64)
            decider = msgspec.structs.replace(
                self.service.decider, entropy=lambda: luck, now_ms=lambda: BEGAN_MS
            )
            async with gate:
                return await decide_one(
                    decider,
                    RecommendationRequest(
                        session_id=session.session_id, unit_id=session.unit_id, context=dict(session.context)
                    ),
                )

        return await asyncio.gather(*map(one, visitors))

    async def _rewarded(self, rewards: Sequence[RewardRequest]) -> None:
        for start in range(0, len(rewards), AT_ONCE):
            await self.service.rewarder.take(rewards[start : start + AT_ONCE], "", str)

    def chance(self, who: Shopper, arm: str) -> float:
        """That the shopper buys."""
        return min(1.0, LOUDER * expected_reward(who, self.arms[self.taken_for(who, arm)]))


def heard_after(visitor: Session) -> int:
    """Minutes until the news of a purchase."""
    return HORIZON_MINUTES + 1 if visitor.delay_s > HORIZON_S else int(visitor.delay_s >= SOON_S)


@contextmanager
def shop_by_minutes(
    folder: Path, data: DataFolder, client: redis.Redis, store_url: str, processes: Processes
) -> Iterator[Shop]:
    """The shop in ``folder`` over an empty store, until the block ends."""
    environ, stores = {"REDIS_URL": store_url}, Stores(store_url, store_url)
    sidecar = processes.start("sidecar.server", "--app", folder, "--data", data.root, environ=environ)
    application, settings = (
        load_application(folder),
        ServiceSettings(deadline_ms=10_000, score_timeout_ms=9_000, draw_secret=SECRET),
    )
    sidecar.wait_until(data.sidecar_socket(application.name).exists)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        service = runner.run(
            stack.enter_async_context(open_service(folder, application, settings, data, stores))
        )
        try:
            yield Shop(folder, data, client, service, runner)
        finally:
            runner.run(stack.aclose())
