"""What is wrong with an application, the worst first, each with the chapter of the runbook that it is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from decision_service.cli.look import SILENT_AFTER_MS, Look
from sidecar.contracts.store import StoreError, connect
from sidecar.contracts.store_address import without_password

LATE_MS = 60_000
"""As the alarms have it: what is due is learnt within a minute."""


class Trouble(NamedTuple):
    """One thing that is wrong."""

    what: str
    chapter: str
    """A heading of docs/operations.md."""


def troubles(seen: Look) -> Iterator[Trouble]:
    """None while all is well."""
    if not seen.books.balanced:
        decisions, rewards = seen.books
        yield Trouble(f"the books are off: decisions {decisions}, rewards {rewards}", "Books are not 0")
    yield from _of_learner(seen)
    yield from _of_helpers(seen)
    if seen.share.reason:
        share = f"{seen.share.value:.0%} of the decisions are logged ({seen.share.reason})"
        yield Trouble(share, "The log is thinned")


def no_feature_store(url: str, timeout_s: float) -> Iterator[Trouble]:
    """One where nobody answers at the feature store's address within that time."""
    try:
        with connect(url, timeout_s=timeout_s) as client:
            client.ping()
    except (StoreError, OSError) as error:
        yield Trouble(
            f"no feature store answers at {without_password(url)} ({error})", "The feature store is away"
        )


def _of_learner(seen: Look) -> Iterator[Trouble]:
    said = seen.learner.get
    if not seen.learner:
        yield Trouble("no learner has run yet", "The learner is gone")
    elif said("state") == "stopped":
        yield Trouble("the learner was stopped", "The learner is gone")
    elif silent_ms := seen.silent_ms():
        yield Trouble(f"the learner has been silent for {_ago(silent_ms)}", "The learner is gone")
    elif error := said("last_error"):
        chapter = "The gate refuses" if error.startswith("gate:") else "The learner stands still"
        yield Trouble(f"the learner: {error}", chapter)
    if (lag_ms := int(said("lag_ms", 0))) > LATE_MS:
        yield Trouble(f"what was due {_ago(lag_ms)} ago is not learnt yet", "The join lags")
    if count := int(said("dead_letters", 0)):
        yield Trouble(f"{count:,} entries could not be learnt", "Dead letters")
    if int(said("rebuild_mismatch", 0)):
        yield Trouble("weights that were rebuilt are not those that were published", "A rebuild differs")


def _of_helpers(seen: Look) -> Iterator[Trouble]:
    for name, at_ms, one in seen.workers:
        if one.error:
            yield Trouble(f"{name}: {one.error}", "The join lags")
        elif (silent_ms := seen.now_ms - at_ms) > SILENT_AFTER_MS:
            yield Trouble(f"{name} has been silent for {_ago(silent_ms)}", "The join lags")


def _ago(ms: float) -> str:
    """A time as one says it.

    >>> _ago(1500), _ago(90_000), _ago(7_200_000)
    ('2 s', '90 s', '120 min')
    """
    return f"{ms / 1000:.0f} s" if ms < 600_000 else f"{ms / 60_000:.0f} min"


def anchor(chapter: str) -> str:
    """Where that is.

    >>> anchor("Books are not 0")
    'docs/operations.md#books-are-not-0'
    """
    return "docs/operations.md#" + chapter.lower().replace(" ", "-")
