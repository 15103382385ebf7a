"""Rewards, checked: whom they are meant for, what they are worth, under which key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

from msgspec import Struct

from decision_service.api.rewards import RewardRequest
from decision_service.errors import BadRequest, FieldError
from decision_service.times import millis
from sidecar.contracts.application import Application
from sidecar.contracts.errors import BadId
from sidecar.contracts.events import encode_reward_tail
from sidecar.contracts.ids import has_our_form, partition_of_decision, partition_of_session
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.scripts.reward import ALL, LAST, by_arm

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


class Drafter(Struct, frozen=True):
    """Checks rewards of one application."""

    application: Application
    """Its table of events, its bounds, its partitions."""
    fresh_key: Callable[[], str]
    """Makes an idempotency key for a client that gave none."""

    def drafts(
        self, requests: Sequence[RewardRequest], header_key: str, place: Callable[[int], str]
    ) -> list[Draft]:
        """All of ``requests``, checked; those without keys of their own are numbered below ``header_key``.

        Raises:
            BadRequest: naming the first field at fault of each bad one.
        """
        return _all_or_none(
            partial(self.draft, one, _key_below(header_key, n, len(requests)), place(n))
            for n, one in enumerate(requests)
        )

    def draft(self, request: RewardRequest, header_key: str, place: str) -> Draft:
        """A checked reward.

        Args:
            request: what was sent.
            header_key: its idempotency key, where it has none itself; or empty.
            place: JSON pointer of it in the body.

        Raises:
            BadRequest: naming the first field at fault.
        """
        config = self.application.reward
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
        return Draft(partition, session_id, decision_id, client_key, key or self.fresh_key(), tail, rule)

    def _rule(self, request: RewardRequest, place: str) -> str:
        """Which of its session's decisions a reward reaches."""
        match self.application.reward.attribution:
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
        named, session_id, partitions = request.decision_id, request.session_id, self.application.partitions
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
