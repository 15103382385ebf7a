"""Requests to bytes and bytes to answers: the same for both clients."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote

import httpx

from sidearm_client.answers import (
    FELL_BACK,
    Decision,
    Problem,
    ProblemDetail,
    RankedArm,
    Receipt,
    Teller,
    decision_of,
    receipt_of,
)
from sidearm_client.errors import ClientError, Refused, Unavailable
from sidearm_client.settings import GivenArm

T = TypeVar("T")
Body = dict[str, Any]
Arms = Sequence[str | GivenArm]
Context = Mapping[str, str | float | bool]
Limit = int | Literal["all"]

RECOMMEND = "/v1/recommendations"
REWARD = "/v1/rewards"
REWARDS = "/v1/rewards/batch"

_LATER = frozenset({408, 425, 429})
"""Refusals that may be none a moment later, as all from 500 on."""
_dumps = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode


class Call(NamedTuple):
    """One request."""

    method: str
    path: str
    content: bytes | None = None


class Told(NamedTuple):
    """Something told in the background: a reward, or the id of a decision that was shown."""

    reward: Body | None
    activated: str = ""

    @property
    def body(self) -> Body:
        """For whoever is told that it was lost."""
        return self.reward if self.reward is not None else {"activate": self.activated}


def post(path: str, body: Body) -> Call:
    """A call with ``body``.

    Raises:
        ValueError: NaN or Infinity in it, which are no JSON.
    """
    return Call("POST", path, _dumps(body).encode())


def decide_body(session_id: str, sticky: bool, decision_id: str | None, fields: Body) -> Body:
    """The body of a request for a decision, with a key, so that asking again is safe."""
    body: Body = {"session_id": session_id}
    if decision_id is not None or not sticky:
        body["decision_id"] = decision_id or uuid.uuid4().hex
    body.update((name, value) for name, value in fields.items() if value is not None)
    return body


def reward_body(
    value: float | None,
    decision_id: str | None,
    session_id: str | None,
    event: str | None,
    arm: str | None,
    reward_id: str | None,
    occurred_at: datetime | str | None,
) -> Body:
    """The body of a reward, with a key, so that sending it again is safe.

    Raises:
        ValueError: it says nothing, names nobody, or a value that is no finite number.
    """
    if value is None and event is None:
        raise ValueError("a reward needs a value, an event of the application's table, or both")
    if value is not None and not math.isfinite(value):
        raise ValueError(f"a reward of {value}: legal: a finite number")
    if not decision_id and not session_id:
        raise ValueError("a reward needs a decision_id or a session_id")
    said: Body = {
        "decision_id": decision_id,
        "session_id": session_id,
        "event": event,
        "reward": value,
        "arm": arm,
        "reward_id": reward_id or uuid.uuid4().hex,
        "occurred_at": _zoned(occurred_at) if isinstance(occurred_at, datetime) else occurred_at,
    }
    return {name: one for name, one in said.items() if one is not None}


def _zoned(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("occurred_at has no zone: datetime.now(timezone.utc) has one")
    return at.isoformat()


def activate_call(decision_id: str) -> Call:
    """Says that a decision was shown."""
    return Call("POST", f"/v1/decisions/{quote(decision_id, safe='')}/activate")


def look_up_call(decision_id: str, what: str = "") -> Call:
    """Asks for a decision, or for its ``/explanation``."""
    return Call("GET", f"/v1/decisions/{quote(decision_id, safe='')}{what}")


def failure_of(response: httpx.Response) -> Unavailable | None:
    """What an answer comes to that may be another one later; None: all is well.

    Raises:
        Refused: it would be the same.
    """
    if response.status_code < 400:
        return None
    problem = _problem(response)
    if problem.status in _LATER or problem.status >= 500:
        return Unavailable(str(problem), problem, _retry_after_s(response))
    raise Refused(problem)


def unreachable(error: httpx.TransportError | TimeoutError) -> Unavailable:
    """What a connection that failed comes to, or a time that is over."""
    failure = Unavailable(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    failure.__cause__ = error
    return failure


def _problem(response: httpx.Response) -> Problem:
    """The problem in an answer; of whatever stands between the service and us, its status."""
    try:
        said = json.loads(response.content)
        errors = tuple(ProblemDetail(one["pointer"], one["detail"]) for one in said.get("errors", ()))
        return Problem(said["type"], said["title"], response.status_code, said.get("detail", ""), errors)
    except (ValueError, LookupError, TypeError, AttributeError):
        return Problem("about:blank", response.reason_phrase or "HTTP", response.status_code)


def _retry_after_s(response: httpx.Response) -> float:
    said = response.headers.get("retry-after", "")
    return float(said) if said.isdigit() else 0.0


def answer_of(response: httpx.Response) -> Body:
    """The JSON of an answer.

    Raises:
        Unavailable: it is none: something else than the service answers there.
    """
    try:
        answer: Body = json.loads(response.content)
        return answer
    except ValueError as error:
        raise Unavailable(f"{response.status_code} without JSON: is this the service?") from error


def decision_in(answer: Body, deferred: bool, teller: Teller) -> Decision:
    """The decision that was answered.

    Raises:
        Unavailable: it is none.
    """
    return _read(lambda: decision_of(answer, deferred, teller))


def receipt_in(answer: Body) -> Receipt:
    """What became of a reward.

    Raises:
        Unavailable: the answer is something else.
    """
    return _read(lambda: receipt_of(answer))


def _read(read: Callable[[], T]) -> T:
    try:
        return read()
    except (LookupError, TypeError, AttributeError) as error:
        raise Unavailable("JSON of another kind: is this the service?") from error


def fallback_of(
    body: Body, ranking: Sequence[str], why: ClientError, deferred: bool, teller: Teller
) -> Decision:
    """The client's own answer, as the service would have cut it.

    Raises:
        ClientError: ``why``: there is no arm to fall back to.
    """
    arms = _eligible(body, ranking)
    if not arms:
        raise why
    limit: Limit = body.get("limit", 1)
    shown = arms if limit == "all" else arms[:limit]
    return Decision(
        decision_id=None,
        session_id=body["session_id"],
        arm=arms[0],
        probability=None,
        ranking=tuple(RankedArm(arm, None, None) for arm in shown),
        source=FELL_BACK,
        deferred=deferred,
        why=why,
        teller=teller,
    )


def _eligible(body: Body, ranking: Sequence[str]) -> list[str]:
    named = [arm if isinstance(arm, str) else arm["id"] for arm in body.get("arms", ())]
    excluded = frozenset(body.get("exclude", ()))
    wanted = [arm for arm in ranking or named if arm not in excluded]
    return [arm for arm in wanted if arm in named] if named else wanted
