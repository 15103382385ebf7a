"""What ``sidearm train`` is told: which rows, and which candidates."""

from __future__ import annotations

import math
import time
from datetime import UTC, date, datetime, timedelta

from policy_learner.rebase.base_training import END_OF_TIME_MS, Span
from policy_learner.rebase.candidates import Variant
from sidecar.contracts.errors import BadSettings

MOST_CANDIDATES = 32
_MOST_EPOCHS = 100
_LARGEST_RATE = 100.0


def parse_span(since: str, until: str, days: int = 0) -> Span:
    """The rows that were finalised in a time.

    Args:
        since: first day, or a moment; empty: from the beginning of the log.
        until: last day, itself included, or a moment, itself not; empty: to the end of the log.
        days: with none in ``since``: so many days before ``until`` or now.

    Raises:
        BadSettings: one of them is no time, or they are in the wrong order.

    >>> parse_span("2026-01-01", "2026-01-02") == parse_span("2026-01-01T00:00", "2026-01-03T00:00")
    True
    """
    until_ms = _moment_ms("--to", until, END_OF_TIME_MS, is_end=True)
    from_ms = _moment_ms("--from", since, 0, is_end=False)
    if days and not since:
        end_ms = until_ms if until else round(time.time() * 1000)
        from_ms = max(0, end_ms - round(timedelta(days=days).total_seconds() * 1000))
    if from_ms >= until_ms:
        raise BadSettings(f"--from {since} lies behind --to {until}")
    return Span(from_ms, until_ms)


def parse_variants(epochs: str, learning_rates: str, default_rate: float) -> list[Variant]:
    """Every number of epochs with every rate.

    Raises:
        BadSettings: something is no number, out of its range, or there are too many.

    >>> parse_variants("1,3", "", 0.5)
    [Variant(epochs=1, learning_rate=0.5), Variant(epochs=3, learning_rate=0.5)]
    """
    passes = [int(one) for one in _numbers("--epochs", epochs, 1, _MOST_EPOCHS, whole=True)]
    rates = _numbers("--learning-rates", learning_rates or repr(default_rate), 0.0, _LARGEST_RATE)
    variants = list(dict.fromkeys(Variant(n, rate) for n in passes for rate in rates))
    if len(variants) > MOST_CANDIDATES:
        raise BadSettings(f"{len(variants)} candidates at once; at most {MOST_CANDIDATES}")
    return variants


def _numbers(option: str, text: str, least: float, most: float, whole: bool = False) -> list[float]:
    legal = f"legal are {'whole ' * whole}numbers from {least:g} to {most:g}, with commas between them"
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise BadSettings(f"{option} {text!r}: {legal}") from None
    if not all(math.isfinite(one) and least <= one <= most and one > 0 for one in found):
        raise BadSettings(f"{option} {text!r}: {legal}")
    if whole and not all(one.is_integer() for one in found):
        raise BadSettings(f"{option} {text!r}: {legal}")
    return found


def _moment_ms(option: str, text: str, default: int, *, is_end: bool) -> int:
    if not text:
        return default
    try:
        if len(text) == len("2026-01-31"):
            day = date.fromisoformat(text) + timedelta(days=int(is_end))
            moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadSettings(f"{option} {text!r} is no time: legal are 2026-01-31, 2026-01-31T12:00") from None
    return max(0, round(moment.timestamp() * 1000))
