"""What became of an import: counts, and whether the log is fit to be evaluated on."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from offline_eval.dataset import VIEW, open_log
from offline_eval.diagnostics import Check, Gates, LogSummary, log_checks, summarise
from offline_eval.doctor import examine
from offline_eval.engine import connect


class Imported(Struct, frozen=True):
    """What there is now, and what is wrong with it."""

    folder: str
    summary: LogSummary
    checks: tuple[Check, ...]
    least_propensity: float | None
    """Of the rows that count: a candidate's weights can be as large as its inverse."""
    shown_arms: int
    eligible_arms: int
    """Those never shown cannot be evaluated but by a model."""
    skipped: dict[str, int] = {}
    """Reason to lines of the source that are no decisions."""


def checked(folder: Path, skipped: dict[str, int] | None = None) -> Imported:
    """Read the log that was just written, and examine it.

    Raises:
        BadLog: it cannot be read.
    """
    log, gates = open_log(connect(), folder), Gates()
    summary = summarise(log)
    least, shown, eligible = log.connection.execute(f"""
        SELECT min(propensity), count(DISTINCT arm), (
            SELECT count(DISTINCT one) FROM (SELECT unnest(arms) AS one FROM {VIEW} WHERE status = ''))
        FROM {VIEW} WHERE status = ''""").fetchall()[0]  # noqa: S608 - a view of ours
    checks = (*log_checks(summary, gates), *examine(log, gates))
    return Imported(str(folder), summary, checks, least, int(shown), int(eligible), skipped or {})
