"""Rewards and activations of events, by the ids that the client gave them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from decision_service.activation import Activator
from decision_service.api.recommendations import ActivationRequest
from decision_service.api.rewards import RewardRequest
from decision_service.doors.foreign import Visit
from decision_service.doors.personalizer.refusals import Refused
from decision_service.doors.personalizer.requests import REWARD, SLOTS_REWARD, checked_id, decoded
from decision_service.event_log import patiently
from decision_service.problem import HttpAnswer
from decision_service.reward import Rewarder
from decision_service.spool import Spool
from sidecar.contracts import journal
from sidecar.contracts.ids import partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.store import AsyncScripts

_REWARD, _ACTIVATE = "InvalidRewardRequest", "InvalidEventIdToActivate"
_MOST_KEY = 256
_DONE = HttpAnswer(204, b"")


class Teller:
    """Passes rewards and activations on.

    Args:
        rewarder: takes rewards.
        activator: takes activations.
        scripts: on the store, which knows an event's decisions.
        spool: knows those that the store has not heard of.
        app: the application.
        partitions: how many it has.
        fresh_id: makes a call's id where the client has none.
    """

    def __init__(
        self,
        rewarder: Rewarder,
        activator: Activator,
        scripts: AsyncScripts,
        spool: Spool,
        app: str,
        partitions: int,
        fresh_id: Callable[[], str],
    ) -> None:
        self._rewarder, self._activator = rewarder, activator
        self._scripts, self._spool, self._fresh_id = scripts, spool, fresh_id
        self._keys: Callable[[str], Keys] = lambda session: Keys(
            app, partition_of_session(session, partitions)
        )

    async def reward(self, visit: Visit) -> HttpAnswer:
        """``POST events/{eventId}/reward``: taken, whatever becomes of it."""
        event_id = checked_id(visit.parts[-2], _REWARD, "eventId")
        value = decoded(visit.body, REWARD, _REWARD).value
        await self._take(visit, event_id, [(event_id, value)])
        return _DONE

    async def reward_slots(self, visit: Visit) -> HttpAnswer:
        """``POST multislot/events/{eventId}/reward``: all of them, or none."""
        event_id = checked_id(visit.parts[-2], _REWARD, "eventId")
        told = decoded(visit.body, SLOTS_REWARD, _REWARD).reward
        if not told:
            raise Refused(_REWARD, "At least one slot must be rewarded.", "reward")
        values = [(checked_id(one.slot_id, _REWARD, "slotId"), one.value) for one in told]
        await self._take(visit, event_id, values)
        return _DONE

    async def activate(self, visit: Visit) -> HttpAnswer:
        """``POST …events/{eventId}/activate``: all decisions of the event; again is no harm."""
        event_id = checked_id(visit.parts[-2], _ACTIVATE, "eventId")
        asked = ActivationRequest()
        found = await self._decisions_of(event_id)
        await asyncio.gather(*(self._activator.activate(decision_id, asked) for decision_id in found))
        return _DONE

    async def _take(self, visit: Visit, event_id: str, values: list[tuple[str, float]]) -> None:
        """A client that sends the same request again, under its own id, is not counted twice."""
        for _, value in values:
            if not -1.0 <= value <= 1.0:
                raise Refused(_REWARD, f"The reward {value:g} is not between -1 and 1.", "value")
        rewards = [RewardRequest(session_id=event_id, decision_id=key, reward=value) for key, value in values]
        await self._rewarder.take(rewards, self._request_id(visit), lambda place: f"/reward/{place}")

    def _request_id(self, visit: Visit) -> str:
        """Of the client's call; a fresh one for clients that have none: each of their calls is one reward."""
        said = visit.header(b"x-ms-client-request-id").strip()
        return said if said.isprintable() and 0 < len(said) <= _MOST_KEY else self._fresh_id()

    async def _decisions_of(self, event_id: str) -> list[str]:
        held = self._spool.decision_of_key(event_id, event_id)
        if held is not None and held.event is not None:
            return [held.event.decision_id]
        keys = self._keys(event_id)
        return await patiently(lambda: journal.decisions_with_keys(self._scripts, keys, event_id))
