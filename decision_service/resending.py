"""How each kind of spooled record is told to the store, and what its answer means for the record."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import redis

from decision_service.activation import Activator
from decision_service.api.recommendations import ActivationRequest
from decision_service.api.rewards import RewardRequest
from decision_service.draining import Send, Sent
from decision_service.errors import BadRequest, StoreAway
from decision_service.event_log import EventLog
from decision_service.reward import Rewarder
from decision_service.spool import Held
from sidecar.contracts.ids import partition_of_session
from sidecar.contracts.scripts.decide import Decided, DecideEntry, DecideStatus
from sidecar.contracts.spooled import SpooledKind

PATIENCE_S = 10.0
"""Processes that live have sent what they wrote down so long after the store is back, mostly."""

_AGAIN = Sent("")
_REFUSED = Sent("refused", refused=True)
_SUPERSEDED = Sent("superseded")
_rewards = msgspec.json.Decoder(RewardRequest)
_activations = msgspec.json.Decoder(ActivationRequest)


def senders(
    events: EventLog, rewarder: Rewarder, activator: Activator, partitions: int
) -> Mapping[SpooledKind, Send]:
    """One for each kind."""
    return {
        "decision": _Decisions(events, partitions).send,
        "reward": _one_by_one(lambda held: _reward(rewarder, held)),
        "activation": _one_by_one(_Activations(activator).send),
    }


class _Decisions:
    """Decisions go in batches, one a partition."""

    def __init__(self, events: EventLog, partitions: int) -> None:
        self._events, self._partitions = events, partitions

    async def send(self, batch: Sequence[Held]) -> Sequence[Sent]:
        places: dict[int, list[int]] = defaultdict(list)
        outcomes = [_REFUSED] * len(batch)
        for place, held in enumerate(batch):
            if held.event is not None:
                places[partition_of_session(held.event.session_id, self._partitions)].append(place)
        for partition, some in places.items():
            for place, sent in zip(some, await self._some(partition, [batch[p] for p in some]), strict=True):
                outcomes[place] = sent
        return outcomes

    async def _some(self, partition: int, batch: Sequence[Held]) -> list[Sent]:
        """What was answered stands in the log, also where its name leads to what was answered before it."""
        both = [
            self._events.entries(held.event, held.record.mode, held.record.kept_as)
            for held in batch
            if held.event is not None
        ]
        told = await self._of(partition, [named for named, _ in both])
        for held, outcome in zip(batch, told, strict=True):
            if held.event is not None and isinstance(outcome, Decided):
                self._events.note_sent(held.event, held.record.kept_as, outcome, held.record.body)
        sent = [_sent(named, outcome) for (named, _), outcome in zip(both, told, strict=True)]
        again = [place for place, one in enumerate(sent) if one == _SUPERSEDED]
        alone = [both[place][1] for place in again]
        for place, entry, outcome in zip(again, alone, await self._of(partition, alone), strict=True):
            stands = _sent(entry, outcome)
            sent[place] = _SUPERSEDED if stands.status and not stands.refused else stands
        return sent

    async def _of(self, partition: int, entries: Sequence[DecideEntry]) -> Sequence[Decided | Sent]:
        """A batch that the script refuses is sent in halves, until the one that it refuses stands alone."""
        if not entries:
            return []
        try:
            return await self._events.send(partition, entries)
        except StoreAway as error:
            if not _is_refusal(error):
                raise
        if len(entries) == 1:
            return [_REFUSED]
        middle = len(entries) // 2
        return [*await self._of(partition, entries[:middle]), *await self._of(partition, entries[middle:])]


def _is_refusal(error: StoreAway) -> bool:
    """The script looked at the batch and will say the same again."""
    cause = error.__cause__
    return isinstance(cause, redis.ResponseError) and "BADBATCH" in str(cause)


def _sent(entry: DecideEntry, outcome: Decided | Sent) -> Sent:
    """A key that the client had used before the store went away leads to the decision that stands."""
    if isinstance(outcome, Sent):
        return outcome
    if outcome.status in (DecideStatus.FULL, DecideStatus.SHED):
        return _AGAIN
    if outcome.decision_id != entry.decision_id or outcome.status is DecideStatus.CONFLICT:
        return _SUPERSEDED
    return Sent(outcome.status.value.lower())


def _one_by_one(send: Callable[[Held], Awaitable[Sent]]) -> Send:
    """Those that are under way together share calls below."""

    async def all_of(batch: Sequence[Held]) -> Sequence[Sent]:
        return await asyncio.gather(*(send(held) for held in batch))

    return all_of


async def _reward(rewarder: Rewarder, held: Held) -> Sent:
    try:
        status = await rewarder.resend(_rewards.decode(held.record.body))
    except (BadRequest, msgspec.MsgspecError, UnicodeDecodeError):
        return _REFUSED
    return Sent(status.value.lower())


class _Activations:
    """One for a decision that nobody knows waits for it: it may lie in the spool of another process."""

    def __init__(self, activator: Activator) -> None:
        self._activator = activator
        self._since: dict[str, float] = {}
        """Decision to when it was asked for first."""

    async def send(self, held: Held) -> Sent:
        decision_id = held.record.decision_id
        try:
            request = _activations.decode(held.record.body)
            receipt = await self._activator.resend(decision_id, request)
        except (BadRequest, msgspec.MsgspecError, UnicodeDecodeError):
            return _REFUSED
        if receipt.status == "unknown" and self._may_come(decision_id):
            return _AGAIN
        self._since.pop(decision_id, None)
        return Sent(receipt.status)

    def _may_come(self, decision_id: str) -> bool:
        now = asyncio.get_running_loop().time()
        return now - self._since.setdefault(decision_id, now) < PATIENCE_S
