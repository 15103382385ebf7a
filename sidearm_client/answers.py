"""What the service answers, as plain immutable values. Fields that a newer service adds are passed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self

FELL_BACK = "client_fallback"
"""Source of a decision that this client made by itself."""


@dataclass(frozen=True, slots=True)
class ProblemDetail:
    """One field at fault."""

    pointer: str
    """JSON pointer into the request's body."""
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: tuple[ProblemDetail, ...] = ()

    def __str__(self) -> str:
        return f"{self.status} {self.title}: {self.detail}" if self.detail else f"{self.status} {self.title}"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a reward."""

    status: str
    """``accepted``, ``duplicate``, ``early``, ``late``, ``unknown`` or ``over_limit``."""
    decision_id: str | None
    reward_id: str
    spooled: bool = False
    """The service wrote it down, since its store was away."""


@dataclass(frozen=True, slots=True)
class RankedArm:
    """An arm, with the probability of its place; None where this client ranked by itself."""

    arm: str
    probability: float | None
    score: float | None


class Teller(Protocol):
    """Who takes what is told of a decision: a client."""

    def reward(
        self,
        value: float | None = None,
        *,
        decision_id: str | None = None,
        event: str | None = None,
        arm: str | None = None,
        reward_id: str | None = None,
        occurred_at: datetime | str | None = None,
    ) -> bool:
        """Take a reward."""
        ...

    def activate(self, decision_id: str) -> bool:
        """Take an activation."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to show, and whom to tell what came of it.

    As a context manager it stands for showing it: a deferred decision is activated when the block ends, and
    is not when it raises.
    """

    decision_id: str | None
    """None: the client fell back, so there is no decision to speak of."""
    session_id: str
    arm: str
    """The one to show; of several, the first."""
    probability: float | None
    ranking: tuple[RankedArm, ...]
    source: str
    """``model``, ``pre_policy``, ``fallback`` (the service's own), ``repeat``; or ``client_fallback``."""
    policy: str = ""
    model_version: int = 0
    logged: bool = False
    reward_until: str | None = None
    expected: float | None = None
    rank: float | None = None
    deferred: bool = False
    why: Exception | None = field(default=None, compare=False)
    """Why the client fell back."""
    teller: Teller = field(repr=False, compare=False)

    @property
    def fell_back(self) -> bool:
        """Whether this client ranked by itself, because the service could not be reached in time."""
        return self.source == FELL_BACK

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms of the ranking, in its order."""
        return tuple(one.arm for one in self.ranking)

    def reward(
        self,
        value: float | None = None,
        *,
        event: str | None = None,
        arm: str | None = None,
        reward_id: str | None = None,
        occurred_at: datetime | str | None = None,
    ) -> bool:
        """Say what came of it: a value, an event of the application's table, or both.

        It leaves in the background. False: nobody is told, since the client fell back or too much waits.
        """
        if self.decision_id is None:
            return False
        return self.teller.reward(
            value,
            decision_id=self.decision_id,
            event=event,
            arm=arm,
            reward_id=reward_id,
            occurred_at=occurred_at,
        )

    def activate(self) -> bool:
        """Say that it was shown; in the background. False as for :meth:`reward`."""
        return self.decision_id is not None and self.teller.activate(self.decision_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.deferred and kind is None:
            self.activate()


def decision_of(answer: dict[str, Any], deferred: bool, teller: Teller) -> Decision:
    """The decision in an answer of the service."""
    get = answer.get
    return Decision(
        decision_id=answer["decision_id"],
        session_id=answer["session_id"],
        arm=answer["arm"],
        probability=answer["probability"],
        ranking=tuple(RankedArm(one["arm"], one["probability"], one["score"]) for one in answer["ranking"]),
        source=answer["source"],
        policy=get("policy", ""),
        model_version=get("model_version", 0),
        logged=get("logged", False),
        reward_until=get("reward_until"),
        expected=get("expected"),
        rank=get("rank"),
        deferred=deferred,
        teller=teller,
    )


def receipt_of(answer: dict[str, Any]) -> Receipt:
    """A reward's receipt in an answer of the service."""
    return Receipt(
        answer["status"], answer.get("decision_id"), answer["reward_id"], answer.get("spooled", False)
    )


Lost = Callable[[dict[str, Any], Exception], None]
"""Told of what could not be told: the body, and why."""
