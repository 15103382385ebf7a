"""The learner, as it said last, and whether it still says anything."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

_SILENT_MS = 5_000
"""The learner writes its status every second."""


class LearnerView(Struct, frozen=True):
    """The learner, as it said last."""

    state: str
    """``running``, ``stopped``, ``silent`` or ``none``: none ever ran."""
    version: int
    """Of the weights that stand; 0: none were published."""
    weights_age_ms: int | None
    """Since they were published."""
    lag_ms: int | None
    """Age of the oldest due decision that no published version has seen."""
    examples: int
    examples_per_s: float | None
    error: str
    """Empty while all is well."""


def learner_view(status: Mapping[str, str], now_ms: int) -> LearnerView:
    """From its status, by field; empty: there is none."""
    if not status:
        return LearnerView("none", 0, None, None, 0, None, "")
    age_ms, said = now_ms - int(status.get("at_ms", 0)), status.get("state", "")
    version = int(status.get("version", 0))
    return LearnerView(
        state="silent" if said == "running" and age_ms > _SILENT_MS else said,
        version=version,
        weights_age_ms=int(status.get("age_ms", 0)) + max(age_ms, 0) if version else None,
        lag_ms=int(status.get("lag_ms", 0)),
        examples=int(status.get("examples", 0)),
        examples_per_s=float(status.get("examples_per_s", 0.0)),
        error=status.get("last_error", ""),
    )
