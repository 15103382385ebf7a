"""The decision as it is stored: all that scoring saw, and all that is needed to do it again.

Evolution: structs are arrays on the wire. New fields go to the end and have defaults; nothing changes type
or place. Golden bytes of every version are kept in ``tests/parity/golden`` and decode for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Struct

from sidecar.contracts.application import Arm, Exploration, Features
from sidecar.contracts.arm_features import Columns, Levels, with_features
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.reward_section import RewardMode

Source = Literal["model", "pre_policy", "fallback", "import"]
"""Who answered: the model, the rough filter, the backstop, or (imports) somebody else's system."""


class Candidate(Struct, frozen=True, array_like=True):
    """A model that answered in time and could have been the official one."""

    policy: str
    """Its name among the application's models."""
    model_version: int
    probability: float
    """With which it would have been official, given who answered."""
    exploration: Exploration
    scores: bytes
    """float32 little-endian, one per eligible arm."""


class Shadow(Struct, frozen=True, array_like=True):
    """A model that scored and could not have been official."""

    policy: str
    model_version: int
    scores: bytes
    """float32 little-endian, one per eligible arm."""


class Slot(Struct, frozen=True, array_like=True):
    """One more arm of the same decision, after the first."""

    arm: str
    arm_index: int
    """Place of ``arm`` among the eligible arms."""
    propensity: float
    """Probability with which it was chosen for this slot, given the arms of the slots before."""


class DecisionEvent(Struct, frozen=True, array_like=True, kw_only=True):
    """One decision, exactly as it was made.

    The probabilities are a function of ``scores`` and ``exploration`` (and of ``candidates``, where there
    are any: ``sidecar.policy.propensity.pmf_of_event``) and the arm is a function of them and ``seed``
    (``sidecar.policy.sampling.draw``): both can be had again to the last bit.
    """

    decision_id: str
    session_id: str
    unit_id: str
    """The unit of randomisation and of privacy requests; the session unless the client said otherwise."""
    decided_at_ms: int
    """The service's clock (imports: the time in the source). Recorded, never compared with the store's."""
    horizon_ms: int
    source: Source
    policy: str
    """``champion``, ``backstop``, …; for imports the name of the logging policy."""
    model_version: int
    """Version of the weights that scored; 0 before the first publish and for the backstop; negative, of
    another model container's own counting (``models.foreign``)."""
    catalogue: str
    """Version of the catalogue that the arms came from."""
    context: Features
    """Context features as scored, the graph's included."""
    outcomes: dict[str, str]
    """Context feature, or node of per-arm features or of exclusions, to how it was had: ``given``, ``ok``,
    ``fallback``, …"""
    arms: tuple[str, ...]
    """Eligible arms, in the order of ``scores``; empty means the whole catalogue in its order."""
    given_arms: dict[str, Features]
    """Features that the client gave for single arms, merged over the catalogue's."""
    scores: bytes
    """float32 little-endian, one per eligible arm; empty when nothing was scored (imports)."""
    exploration: Exploration
    arm: str
    arm_index: int
    """Place of ``arm`` among the eligible arms."""
    propensity: float
    """Probability with which the whole procedure chose ``arm``."""
    seed: str
    """64 bits in decimal (text: Lua and JSON round integers beyond 2**53); empty for imports."""
    client_key: str = ""
    """The client's own decision id inside its session."""
    digest: str = ""
    """Digest of the request, so that the same key with another body is noticed."""
    learn: bool = True
    """False: logged and evaluated, never trained on."""
    limit: int = 1
    inclusion_probability: float = 1.0
    """Probability that this decision was kept in the log."""
    propensity_mc_n: int = 0
    """When the propensity is itself an estimate from that many draws."""
    excluded: dict[str, str] = {}
    """Arms that were not eligible, with the reason."""
    cold: bool = False
    """No weights had been published yet: all scores are zero."""
    arm_features: Columns = {}
    """Features fetched for single arms, merged over the catalogue's and ``given_arms``. Where the request
    gave an arm's feature itself, the column has none for that arm."""
    arm_outcomes: dict[str, Levels] = {}
    """For nodes of per-arm features: how each arm's was had, where that is not what ``outcomes`` says."""
    expected: float | None = None
    """The reward that was expected of ``arm`` (its score, calibrated); None when nobody asked, or knew."""
    rank: float | None = None
    """The share of arms shown before that were scored no higher than ``arm``, 0 to 1; None likewise."""
    deferred: bool = False
    """It counts only if it was activated before its horizon ended."""
    official_probability: float = 1.0
    """Probability that ``policy`` is the official one, given who answered; ``candidates`` have the rest."""
    candidates: tuple[Candidate, ...] = ()
    """The other models that could have been official, in the order of the rendezvous."""
    shadows: tuple[Shadow, ...] = ()
    missing: tuple[str, ...] = ()
    """Models that were asked and had not answered when the official one was named."""
    slots: tuple[Slot, ...] = ()
    """Further arms of this decision; the first is ``arm``."""
    segment: str = ""
    """Of the traffic: whose exploration this is; empty: no segment of the application applied."""
    rule: str = ""
    """Of ``source`` ``pre_policy``: which rule answered."""
    trace: str = ""
    """Names its span (W3C ``traceparent``), for whoever learns from it; empty: nobody looks."""


class LoggedDecision(DecisionEvent, frozen=True, array_like=True, kw_only=True, gc=False):
    """A decision as it is read where there are thousands: :func:`decode_logged` makes it.

    A map of ten takes more memory than all else of a decision, and whoever has a thousand at hand waits for
    memory. So the context stays packed, see :func:`features_of`, and equal outcomes are one object.
    """

    context: msgspec.Raw  # type: ignore[assignment]  # packed until somebody asks
    outcomes: msgspec.Raw  # type: ignore[assignment]  # as it is decoded; then a mapping


_decode = msgspec.msgpack.Decoder(DecisionEvent).decode
_decode_logged = msgspec.msgpack.Decoder(LoggedDecision).decode
_decode_features = msgspec.msgpack.Decoder(Features).decode
_decode_outcomes = msgspec.msgpack.Decoder(dict[str, str]).decode
_encode = msgspec.msgpack.Encoder().encode


def encode_decision(event: DecisionEvent) -> bytes:
    """The event as stored."""
    return _encode(event)


def decode_decision(data: bytes) -> DecisionEvent:
    """The event from its stored bytes.

    Raises:
        BadEvent: the bytes are not a decision event.
    """
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadEvent(f"{len(data)} bytes are no decision event: {error}") from error


def decode_logged(data: bytes) -> LoggedDecision:
    """The same event, to be read and not kept for long.

    Raises:
        BadEvent: the bytes are not a decision event, whatever of them is unpacked later.
    """
    try:
        event = _decode_logged(data)
        _decode_features(event.context)
        msgspec.structs.force_setattr(event, "outcomes", _outcomes(bytes(event.outcomes)))
        return event
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadEvent(f"{len(data)} bytes are no decision event: {error}") from error


@lru_cache(maxsize=1024)
def _outcomes(packed: bytes) -> dict[str, str]:
    """Most decisions of an application have the same."""
    return _decode_outcomes(packed)


def features_of(event: DecisionEvent) -> Features:
    """The context features of a decision, however it was decoded."""
    packed = event.context
    return _decode_features(packed) if isinstance(packed, msgspec.Raw) else packed


def arms_of(event: DecisionEvent, catalogue: Catalogue) -> tuple[Arm, ...]:
    """The eligible arms with the features that they were scored with, in the order of the scores.

    Raises:
        BadEvent: the catalogue is not the one that the event names, or a column is broken.
    """
    return with_features(own_arms_of(event, catalogue), event.arm_features)


def own_arms_of(event: DecisionEvent, catalogue: Catalogue) -> tuple[Arm, ...]:
    """The eligible arms with the catalogue's features and the request's, without what was fetched.

    Raises:
        BadEvent: the catalogue is not the one that the event names.
    """
    if event.catalogue != catalogue.version:
        raise BadEvent(
            f"{event.decision_id} was made with catalogue {event.catalogue}, not {catalogue.version}"
        )
    if not event.arms and not event.given_arms:
        return catalogue.arms
    known = catalogue.by_id()
    ids = event.arms or tuple(known)
    return tuple(_with_given(known.get(arm_id, Arm(arm_id)), event.given_arms.get(arm_id)) for arm_id in ids)


def _with_given(arm: Arm, given: Features | None) -> Arm:
    return Arm(arm.id, {**arm.features, **given}) if given else arm


RewardKind = Literal["F", "L", "P", "O", "X"]


class RewardRecord(Struct, frozen=True):
    """One reward as the store keeps it, under its idempotency key."""

    key: str
    at_ms: int
    """When it arrived, by the store's clock."""
    value: float
    client_ms: int
    """When the client says it happened; 0 if it did not say."""
    event: str = ""
    arm: str = ""


_END_OF_TIME_MS = 253_402_300_800_000  # the year 10,000


def decode_reward(key: str, stored: str) -> RewardRecord:
    """A reward from its stored text ``at_ms|value|client_ms|event|arm``.

    Raises:
        BadEvent: the text has another form.

    >>> decode_reward("order-77", "1700000000000|1.5|0|purchase|sku-1").value
    1.5
    """
    try:
        at, value, client_ms, event, arm = stored.split("|", 4)
        at_ms = int(at)
        if not 0 <= at_ms < _END_OF_TIME_MS:
            raise ValueError("a time that no calendar knows")
        return RewardRecord(key, at_ms, float(value), int(client_ms), event, arm)
    except ValueError as error:
        raise BadEvent(f"reward {key[:64]!r} is stored as {stored[:128]!r}: {error}") from error


def encode_reward_tail(value: float, client_ms: int, event: str, arm: str) -> str:
    """What the caller hands to the reward script, which puts the store's time in front.

    >>> encode_reward_tail(1.5, 0, "purchase", "sku-1")
    '1.5|0|purchase|sku-1'
    """
    return f"{value!r}|{client_ms}|{event}|{arm}"


ExampleKind = Literal["F", "N", "A", "C", "E"]
"""What an entry of the example stream is.

F: finalised at its horizon, with all its rewards; N: likewise, but deferred and never activated. These two
are the decision's one row. The others are for the trainer alone. A: assumed to earn the default, until its
rewards correct it; C: one more reward, a correction of what was assumed before it; E: the first rewards,
which are the one training effect of mode earliest.
"""

MODES: Mapping[str, RewardMode] = {"w": "wait", "a": "assume", "e": "earliest"}
"""Letter, as it stands in streams and under keys, to mode."""


def letter_of(mode: RewardMode) -> str:
    """The letter of a mode.

    >>> letter_of("assume")
    'a'
    """
    return mode[0]


class JoinedDecision(Struct, frozen=True, gc=False):
    """A decision with its raw rewards: one entry of a partition's example stream."""

    partition: int
    position: str
    """Stream id of the entry; its milliseconds are the time of finalisation."""
    decision: DecisionEvent
    rewards: tuple[RewardRecord, ...]
    payload: bytes
    """The decision as stored."""
    kind: ExampleKind = "F"
    mode: str = "w"
    """Letter of the decision's mode: w, a, e."""
    key: str = ""
    """Of a correction: the reward that is new, one of ``rewards``; what was there before it is the others."""
    slot: int = 0
    """Which slot of the decision this is, where it was taken apart (``slots.py``)."""
