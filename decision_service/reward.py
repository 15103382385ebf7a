"""Rewards: from the request to the store, each with its fate. None is an error for being late or unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec
from msgspec import Struct

from decision_service.api.rewards import RewardReceipt, RewardRequest
from decision_service.api.rewards import RewardStatus as PublicStatus
from decision_service.batcher import Batcher
from decision_service.breaker import Guard
from decision_service.errors import BadRequest, FieldError, StoreAway
from decision_service.event_log import patiently
from decision_service.spool import Spool
from decision_service.telemetry import Telemetry
from decision_service.times import millis
from sidecar.contracts import journal
from sidecar.contracts.application import Application, RewardConfig
from sidecar.contracts.errors import BadId
from sidecar.contracts.events import encode_reward_tail
from sidecar.contracts.ids import has_our_form, partition_of_decision, partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.reward import (
    ALL,
    LAST,
    Rewarded,
    RewardEntry,
    RewardStatus,
    by_arm,
    limits_of,
)
from sidecar.contracts.spooled import Spooled
from sidecar.contracts.store import AsyncScripts

_STATUS: Mapping[RewardStatus, PublicStatus] = {
    RewardStatus.OK: "accepted",
    RewardStatus.DUP: "duplicate",
    RewardStatus.EARLY: "early",
    RewardStatus.LATE: "late",
    RewardStatus.OVER: "over_limit",
    RewardStatus.UNKNOWN: "unknown",
}

NOBODY = "\x1f"
"""Between session and client key in the name under which a reward for an unknown client key is kept; no
session id may contain it."""


class Draft(Struct, frozen=True):
    """A reward that was checked."""

    partition: int
    session_id: str
    """Empty if it names one of our decisions."""
    decision_id: str
    """One of ours, or empty."""
    client_key: str
    """The client's own decision key in ``session_id``, or empty."""
    key: str
    tail: str
    rule: str = LAST
    """Of a reward by session: which of its decisions it reaches."""


class Rewarder:
    """Takes rewards of one application; belongs to one event loop.

    Args:
        scripts: on the store.
        application: its table of events, its bounds, its partitions.
        telemetry: counts what became of each.
        fresh_key: makes an idempotency key for a client that gave none.
        max_batch: most rewards in one script call.
        guard: whether the store is to be asked.
        spool: takes what the store does not.
    """

    def __init__(
        self,
        scripts: AsyncScripts,
        application: Application,
        telemetry: Telemetry,
        fresh_key: Callable[[], str],
        max_batch: int,
        guard: Guard,
        spool: Spool,
    ) -> None:
        self._guard = guard
        self._spool = spool
        self._scripts = scripts
        self._application = application
        self._limits = limits_of(application.reward, application.model.max_pending)
        self._telemetry = telemetry
        self._fresh_key = fresh_key
        self._batchers = [
            Batcher(partial(self._send, self._keys(p)), max_batch=max_batch)
            for p in range(application.partitions)
        ]
        self._named = [
            Batcher(partial(self._find, self._keys(p)), max_batch=max_batch)
            for p in range(application.partitions)
        ]

    async def take(
        self, requests: Sequence[RewardRequest], header_key: str, place: Callable[[int], str]
    ) -> list[RewardReceipt]:
        """Take all of ``requests``, or none when one of them breaks its schema.

        Args:
            requests: in the order of the answer.
            header_key: the ``Idempotency-Key`` header, or empty; rewards without an id are numbered below it.
            place: JSON pointer of the n-th request in the body.

        Raises:
            BadRequest: naming the first field at fault of each bad one.
            StoreAway: they may or may not have been recorded; sending them again is safe.
            SpoolFailed: likewise: the store is away, and they cannot be written down here either.
        """
        drafts = _all_or_none(
            partial(self._checked, one, _key_below(header_key, n, len(requests)), place(n))
            for n, one in enumerate(requests)
        )
        taken = (self._take(request, draft) for request, draft in zip(requests, drafts, strict=True))
        return await asyncio.gather(*taken)

    async def resend(self, request: RewardRequest) -> RewardStatus:
        """Take a reward that was spooled; its status.

        Raises:
            BadRequest: it breaks the application's bounds as they are now.
            StoreAway: it may or may not have been recorded.
        """
        rewarded = await self._place(self._checked(request, "", ""))
        if rewarded.status is RewardStatus.MOVED:
            raise StoreAway("its session keeps on deciding")
        self._telemetry.rewarded(_STATUS[rewarded.status])
        return rewarded.status

    async def _take(self, request: RewardRequest, draft: Draft) -> RewardReceipt:
        if self._guard.closed and not self._spool.decides(draft.decision_id, draft.session_id):
            try:
                rewarded = await self._place(draft)
            except StoreAway:
                self._guard.bad()
            else:
                self._guard.good()
                return self._receipt(draft, rewarded)
        return await self._spooled(request, draft)

    async def _spooled(self, request: RewardRequest, draft: Draft) -> RewardReceipt:
        """Written down as it came, with its key: whom it is meant for is found out when the store is back."""
        body = msgspec.json.encode(msgspec.structs.replace(request, reward_id=draft.key))
        await self._spool.add(Spooled("reward", self._spool.now_ms(), body))
        self._telemetry.rewarded("spooled")
        held = self._spool.decision_of_key(draft.session_id, draft.client_key)
        decision_id = draft.decision_id or (held.event.decision_id if held and held.event else None)
        return RewardReceipt(status="accepted", decision_id=decision_id, reward_id=draft.key, spooled=True)

    def _checked(self, request: RewardRequest, header_key: str, place: str) -> Draft:
        config = self._application.reward
        partition, session_id, decision_id, client_key = self._target(request, place)
        value = _value(request, config, place)
        key = request.reward_id or header_key
        if not key and config.aggregation == "sum":
            raise BadRequest(
                FieldError(
                    f"{place}/reward_id",
                    "required, since rewards of a decision are summed: a repeat would count twice; "
                    "legal: text of 1 to 256 characters here or in the Idempotency-Key header",
                )
            )
        client_ms = _occurred_ms(request.occurred_at, place)
        tail = encode_reward_tail(value, client_ms, request.event or "", request.arm or "")
        rule = LAST if request.decision_id is not None else self._rule(request, place)
        return Draft(partition, session_id, decision_id, client_key, key or self._fresh_key(), tail, rule)

    def _rule(self, request: RewardRequest, place: str) -> str:
        """Which of its session's decisions a reward reaches."""
        match self._application.reward.attribution:
            case "all":
                return ALL
            case "arm" if request.arm is None:
                legal = "the arm that was shown, since rewards by session go to the decision that showed it"
                raise BadRequest(FieldError(f"{place}/arm", f"required; legal: {legal}"))
            case "arm":
                return by_arm(str(request.arm))
            case _:
                return LAST

    def _target(self, request: RewardRequest, place: str) -> tuple[int, str, str, str]:
        """Partition, session, our decision id, client key: who is meant. Ids of our form are ours."""
        named, session_id, partitions = request.decision_id, request.session_id, self._application.partitions
        if named is None and session_id is None:
            legal = "the decision_id of an answer, or session_id, or session_id with your own decision_id"
            raise BadRequest(
                FieldError(f"{place}/decision_id", f"required without session_id; legal: {legal}")
            )
        if named is not None and has_our_form(named):
            with suppress(BadId):
                return partition_of_decision(named, partitions), "", named, ""
            session_id = None  # of another application: nobody here, and no error
        if session_id is None:
            return partition_of_session(str(named), partitions), f"{NOBODY}{named}", "", ""
        return partition_of_session(session_id, partitions), session_id, "", named or ""

    async def _place(self, draft: Draft) -> Rewarded:
        decision_id, session_id = draft.decision_id, draft.session_id
        if draft.client_key:
            decision_id = await self._of_client_key(draft)
            session_id = "" if decision_id else f"{session_id}{NOBODY}{draft.client_key}"
        entry = RewardEntry(decision_id, draft.key, draft.tail, session_id, draft.rule)
        return await self._batchers[draft.partition].ask(entry)

    async def _of_client_key(self, draft: Draft) -> str:
        """Our id of the decision that the client calls by a key of its own; empty if there is none."""
        return await self._named[draft.partition].ask((draft.session_id, draft.client_key))

    async def _find(self, keys: Keys, named: Sequence[tuple[str, str]]) -> list[str]:
        return await patiently(lambda: journal.decisions_of_client_keys(self._scripts, keys, named))

    async def _send(self, keys: Keys, entries: Sequence[RewardEntry]) -> list[Rewarded]:
        return await patiently(lambda: journal.reward(self._scripts, keys, entries, self._limits))

    def _receipt(self, draft: Draft, rewarded: Rewarded) -> RewardReceipt:
        if rewarded.status is RewardStatus.MOVED:
            raise StoreAway(
                "the session kept on deciding while this reward looked for its decision; try again"
            )
        status = _STATUS[rewarded.status]
        self._telemetry.rewarded(status)
        receipt = RewardReceipt(status=status, decision_id=rewarded.decision_id or None, reward_id=draft.key)
        if rewarded.all_ids:
            return msgspec.structs.replace(receipt, decision_ids=list(rewarded.all_ids))
        return receipt

    def _keys(self, partition: int) -> Keys:
        return Keys(self._application.name, partition)


def _all_or_none(checks: Iterable[Callable[[], Draft]]) -> list[Draft]:
    drafts: list[Draft] = []
    errors: list[FieldError] = []
    for check in checks:
        try:
            drafts.append(check())
        except BadRequest as error:
            errors += error.errors
    if errors:
        raise BadRequest(*errors)
    return drafts


def _key_below(header_key: str, place: int, of: int) -> str:
    return f"{header_key}.{place}" if header_key and of > 1 else header_key


def _value(request: RewardRequest, config: RewardConfig, place: str) -> float:
    legal = ", ".join(sorted(config.events))
    if request.event is not None and request.event not in config.events:
        raise BadRequest(FieldError(f"{place}/event", f"{request.event!r} is no event here; legal: {legal}"))
    value = request.reward
    if value is None:
        if request.event is None:
            raise BadRequest(FieldError(f"{place}/event", f"required without a reward; legal: {legal}"))
        value = config.events[request.event]
    if not config.minimum <= value <= config.maximum:
        bounds = f"a number from {config.minimum:g} to {config.maximum:g}"
        raise BadRequest(FieldError(f"{place}/reward", f"{value!r} is out of range; legal: {bounds}"))
    return value


def _occurred_ms(text: str | None, place: str) -> int:
    """Milliseconds since 1970; 0 if the client did not say."""
    if text is None:
        return 0
    try:
        return millis(text)
    except ValueError:
        legal = "RFC 3339 with a zone, such as 2026-01-01T12:30:00Z"
        raise BadRequest(FieldError(f"{place}/occurred_at", f"{text!r} is no time; legal: {legal}")) from None
