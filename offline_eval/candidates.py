"""Candidates by name, as the command line knows them, and the weights that some of them need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from offline_eval.errors import BadCandidate
from offline_eval.target_policy import (
    Logged,
    Table,
    TargetPolicy,
    Uniform,
    epsilon_greedy,
    greedy,
    softmax,
    squarecb,
)
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.weights import Weights, decode_weights

LEGAL = "uniform, logged, greedy, epsilon:<0..1>, softmax:<temperature>, squarecb:<gamma>, table:<file>"

_EXPLORING = {"epsilon": epsilon_greedy, "softmax": softmax, "squarecb": squarecb}

_STORE_SCHEMES = ("redis://", "rediss://", "unix://")


class TableFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``table:<file>`` names: JSON."""

    probabilities: dict[str, dict[str, float]]
    """Key value to arm to probability; the key is ``""`` where ``by`` is empty."""
    by: str = ""
    """Such as ``slot`` or ``context.position``."""
    name: str = ""


def candidate_of(text: str, weights: Callable[[], Weights]) -> TargetPolicy:
    """The candidate that ``text`` names.

    Args:
        text: one of ``LEGAL``.
        weights: asked only for candidates that score.

    Raises:
        BadCandidate: no such candidate.

    >>> candidate_of("uniform", lambda: None).name
    'uniform'
    """
    kind, _, argument = text.partition(":")
    if kind == "table" and argument:
        return table_of(Path(argument))
    if kind in _EXPLORING and argument:
        number = _number(text, argument)  # before the weights are read: the nearer mistake first
        return _EXPLORING[kind](weights(), number)
    if text == "greedy":
        return greedy(weights())
    if text in ("uniform", "logged"):
        return Uniform() if text == "uniform" else Logged()
    raise BadCandidate(f"candidate {text!r} is not known; legal: {LEGAL}")


def table_of(path: Path) -> Table:
    """A table of probabilities from its file.

    Raises:
        BadCandidate: no such file, or not the form of ``TableFile``.
    """
    try:
        read = msgspec.json.decode(path.read_bytes(), type=TableFile)
    except OSError as error:
        raise BadCandidate(f"table:{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise BadCandidate(f"table:{path}: {error}") from error
    return Table(read.name or path.stem, read.probabilities, read.by)


def read_weights(where: str, app: str) -> Weights:
    """Weights from a record's file, or those that an application serves now from a store's URL.

    Raises:
        BadCandidate: nothing is named, or nothing is there.
        BadWeights: what is there is no weights record.
    """
    if not where:
        raise BadCandidate(
            "models that score need --weights: a weights file, or a store's URL (redis://, unix://)"
        )
    try:
        if where.startswith(_STORE_SCHEMES):
            return _from_store(where, app)
        return decode_weights(_from_file(Path(where)))
    except BadWeights as error:
        raise BadWeights(f"--weights {where}: {error}") from error


def _from_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCandidate(f"--weights {path} cannot be read: {error.strerror}") from error


def _from_store(url: str, app: str) -> Weights:
    # Here and not above: most evaluations need no store.
    import redis

    from sidecar.contracts.deltas import read_newest
    from sidecar.contracts.store import connect

    try:
        newest = read_newest(connect(url), app)
    except BadWeights:
        raise
    except (redis.RedisError, ValueError) as error:
        raise BadCandidate(f"--weights {url}: the store does not answer: {error}") from error
    if newest is None:
        raise BadCandidate(f"--weights {url}: application {app!r} has published no weights there")
    return newest.weights


def _number(text: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise BadCandidate(
            f"candidate {text!r}: a number is needed, such as epsilon:0.1 or squarecb:40"
        ) from None
