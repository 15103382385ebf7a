"""How a client behaves. Every setting has a default that suits a service on this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, Self, TypedDict

from sidearm_client.retrying import RETRIES, Retries

URL = "http://localhost:8000"
TIMEOUT_S = 1.0


class GivenArm(TypedDict):
    """An arm with features for this request only."""

    id: str
    features: NotRequired[Mapping[str, str | float | bool]]


@dataclass(frozen=True, slots=True)
class Batching:
    """How rewards leave."""

    most: int = 100
    """In one call; the service takes 1,000."""
    wait_s: float = 0.5
    """How long the first of a batch waits for others, in seconds."""
    backlog: int = 10_000
    """How many may wait while the service is away; more are lost, counted, and told to ``on_lost``."""
    close_s: float = 5.0
    """How long closing the client waits for them to leave, in seconds."""

    def __post_init__(self) -> None:
        if not 1 <= self.most <= 1000:
            raise ValueError(f"most is {self.most}: legal: 1 to 1000")
        if self.backlog < self.most:
            raise ValueError(f"backlog is {self.backlog}: legal: most, {self.most}, and above")


BATCHING = Batching()


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the service is, and how long it may take."""

    url: str = URL
    key: str = field(default="", repr=False)
    """With the roles ``decide`` and ``reward``."""
    timeout_s: float = TIMEOUT_S
    """For one call with all its retries, in seconds; then ``decide`` falls back."""
    retries: Retries = RETRIES
    batching: Batching = BATCHING
    fallback: Sequence[str] = ()
    """Arms in the order in which to show them when the service cannot be reached. Empty: those that the
    request names, in its order; where it names none, ``Unavailable`` is raised."""
    sticky: bool = False
    """The application keeps what a session was given (``[sessions] sticky_s``): decisions are asked for
    without a key of their own, by which no two would ever be the same. A retry is recognised by its session
    then."""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url is {self.url!r}: legal: http://… or https://…")
        if not (math.isfinite(self.timeout_s) and self.timeout_s > 0):
            raise ValueError(f"timeout_s is {self.timeout_s}: legal: a number above 0")
        if isinstance(self.fallback, str):
            raise ValueError("fallback is a text: legal: a list of arms")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Settings of the environment.

        ``SIDEARM_URL``, ``SIDEARM_KEY`` or ``SIDEARM_KEY_FILE``, ``SIDEARM_TIMEOUT_S``,
        ``SIDEARM_FALLBACK`` (arms with commas between).

        Raises:
            ValueError: one that cannot be used, by its name.

        >>> Settings.from_env({"SIDEARM_URL": "http://sidearm:8000", "SIDEARM_FALLBACK": "a, b"}).fallback
        ('a', 'b')
        """
        return cls(
            url=environ.get("SIDEARM_URL", URL),
            key=_key(environ),
            timeout_s=_seconds(environ, "SIDEARM_TIMEOUT_S", TIMEOUT_S),
            fallback=tuple(
                arm.strip() for arm in environ.get("SIDEARM_FALLBACK", "").split(",") if arm.strip()
            ),
        )


def _key(environ: Mapping[str, str]) -> str:
    file = environ.get("SIDEARM_KEY_FILE")
    if not file:
        return environ.get("SIDEARM_KEY", "").strip()
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise ValueError(f"SIDEARM_KEY_FILE is {file}: {error.strerror}") from error


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(environ.get(name, default))
    except ValueError:
        raise ValueError(f"{name} is {environ[name]!r}: legal: seconds, such as 0.5") from None
