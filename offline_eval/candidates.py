"""Candidates by name, as the command line knows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from offline_eval.errors import BadCandidate
from offline_eval.other_policies import AsOf, Shadow, function_of
from offline_eval.target_policy import (
    Logged,
    Scored,
    Table,
    TargetPolicy,
    Uniform,
    epsilon_greedy,
    greedy,
    softmax,
    squarecb,
)
from sidecar.contracts.weights import Weights

LEGAL = (
    "uniform, logged, greedy, epsilon:<0..1>, softmax:<temperature>, squarecb:<gamma>, table:<file>,"
    " shadow:<model>, as-of:<time>, function:<file.py>:<name>; those that score may end in @<version or file>"
)

_EXPLORING = {"epsilon": epsilon_greedy, "softmax": softmax, "squarecb": squarecb}


class TableFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``table:<file>`` names: JSON."""

    probabilities: dict[str, dict[str, float]]
    """Key value to arm to probability; the key is ``""`` where ``by`` is empty."""
    by: str = ""
    """Such as ``slot`` or ``context.position``."""
    name: str = ""


def candidate_of(
    text: str, weights: Callable[[], Weights], other: Callable[[str], Weights] | None = None
) -> TargetPolicy:
    """The candidate that ``text`` names.

    Args:
        text: one of ``LEGAL``.
        weights: asked only for candidates that score.
        other: weights by what stands behind ``@``: a version, or a file.

    Raises:
        BadCandidate: no such candidate.

    >>> candidate_of("uniform", lambda: None).name
    'uniform'
    """
    kind, _, argument = text.partition(":")
    if kind in _NAMED and argument:
        return _NAMED[kind](argument)
    if kind == "as-of" and argument:
        return AsOf(_moment(text, argument), lambda version: _other(text, other)(str(version)))
    if text in ("uniform", "logged"):
        return Uniform() if text == "uniform" else Logged()
    return _scored(text, weights, other)


def _scored(
    text: str, weights: Callable[[], Weights], other: Callable[[str], Weights] | None
) -> TargetPolicy:
    what, _, where = text.partition("@")
    kind, _, argument = what.partition(":")
    if what != "greedy" and not (kind in _EXPLORING and argument):
        raise BadCandidate(f"candidate {text!r} is not known; legal: {LEGAL}")
    number = _number(text, argument) if argument else 0.0  # before the weights: the nearer mistake first
    known = _other(text, other)(where) if where else weights()
    found = greedy(known) if what == "greedy" else _EXPLORING[kind](known, number)
    return Scored(text, known, found.exploration) if where else found


def _other(text: str, other: Callable[[str], Weights] | None) -> Callable[[str], Weights]:
    if other is None:
        raise BadCandidate(f"candidate {text!r}: other weights than those that were given cannot be had here")
    return other


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


_NAMED: dict[str, Callable[[str], TargetPolicy]] = {
    "table": lambda argument: table_of(Path(argument)),
    "shadow": Shadow,
    "function": function_of,
}


def _moment(text: str, argument: str) -> datetime:
    try:
        moment = datetime.fromisoformat(argument)
    except ValueError:
        raise BadCandidate(f"candidate {text!r}: a time is needed, such as as-of:2026-01-31T12:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(text: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise BadCandidate(
            f"candidate {text!r}: a number is needed, such as epsilon:0.1 or squarecb:40"
        ) from None
