"""Numbers as readers see them."""

from __future__ import annotations

from offline_eval.results import Value


def number(value: float, digits: int = 4) -> str:
    """A few significant digits.

    >>> number(0.00477583)
    '0.004776'
    """
    return f"{value:.{digits}g}"


def span(value: Value, digits: int = 4) -> str:
    """An interval.

    >>> span(Value(0.5, 0.4, 0.6, 0.05))
    '[0.4, 0.6]'
    """
    return f"[{number(value.low, digits)}, {number(value.high, digits)}]"
