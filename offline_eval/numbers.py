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


def left_out(reasons: dict[str, int]) -> str:
    """Rows by the reason for which they do not count.

    >>> left_out({"not_matured": 1200}), left_out({})
    ('left out: 1,200 not_matured', 'no row was left out')
    """
    if not reasons:
        return "no row was left out"
    return "left out: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
