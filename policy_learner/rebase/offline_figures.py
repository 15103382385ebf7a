"""What an offline evaluation says of a candidate: its command is run as a process, and its JSON read.

The evaluation is another process's business, with dependencies of its own: where it is not installed, the
candidates are compared without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from sidecar.contracts.application import ExplorationConfig


class Window(NamedTuple):
    """Decisions made at or after one moment and before another, milliseconds."""

    since_ms: int
    until_ms: int


class Offline(Struct, frozen=True, kw_only=True):
    """What is said of one candidate."""

    estimator: str = ""
    """The one that the verdict reads; empty: no number can be given."""
    reward: float | None = None
    """Mean a decision, by that estimator."""
    low: float | None = None
    """Of the 95 % interval of the difference to what was earned as it was logged."""
    difference: float | None = None
    high: float | None = None
    verdict: str = ""
    """One sentence; or why there was no evaluation."""


class _Value(Struct):
    value: float
    low: float
    high: float


class _Estimate(Struct):
    estimator: str
    value: _Value | None
    difference: _Value | None


class _Candidate(Struct):
    headline: str
    verdict: str
    estimates: list[_Estimate]


class _Evaluation(Struct):
    candidates: list[_Candidate]


def evaluate(
    log: Path, record: bytes, exploration: ExplorationConfig, window: Window, folder: Path
) -> Offline:
    """What these weights would have earned, frozen, on a part of the log.

    Args:
        log: root of the application's datasets.
        record: of the weights.
        exploration: how the policy explores.
        window: which decisions.
        folder: for files that are needed meanwhile.
    """
    weights, said = folder / "weights.bin", folder / "evaluation.json"
    weights.write_bytes(record)
    options = {
        "--log": str(log),
        "--candidate": candidate_of(exploration),
        "--weights": str(weights),
        "--since": _iso(window.since_ms),
        "--until": _iso(window.until_ms),
        "--json": str(said),
    }
    command = [sys.executable, "-m", "offline_eval", *[word for pair in options.items() for word in pair]]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)  # noqa: S603
    if done.returncode != 0:
        return Offline(verdict=f"not evaluated: {_last_line(done.stderr)}")
    return read(said.read_bytes())


def candidate_of(exploration: ExplorationConfig) -> str:
    """The policy as the evaluation names it; its control share is drawn evenly too.

    >>> candidate_of(ExplorationConfig(epsilon=0.1, control_share=0.5))
    'epsilon:0.55'
    """
    if exploration.scheme == "uniform":
        return "uniform"
    greedy = (1.0 - exploration.epsilon) * (1.0 - exploration.control_share)
    return f"epsilon:{1.0 - greedy:.6g}"


def read(data: bytes) -> Offline:
    """The figures of the only candidate of an evaluation."""
    try:
        (candidate,) = msgspec.json.decode(data, type=_Evaluation).candidates
    except (msgspec.MsgspecError, ValueError) as error:
        return Offline(verdict=f"not evaluated: {error}")
    for one in candidate.estimates:
        if one.estimator == candidate.headline and one.value and one.difference:
            paired = one.difference
            return Offline(
                estimator=one.estimator,
                reward=one.value.value,
                low=paired.low,
                difference=paired.value,
                high=paired.high,
                verdict=candidate.verdict,
            )
    return Offline(verdict=candidate.verdict)


def _environment() -> dict[str, str]:
    """Ours, without colours and breaks that a terminal would ask for."""
    return {**os.environ, "TERM": "dumb", "NO_COLOR": "1"}


def _last_line(text: str) -> str:
    return next(
        (line.strip() for line in reversed(text.splitlines()) if line.strip(" │╰╯─")), "it said nothing"
    )


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()
