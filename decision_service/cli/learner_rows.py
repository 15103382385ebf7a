"""The learner's status in words, what matters first."""

from __future__ import annotations

from collections.abc import Iterator

from decision_service.cli.look import Look


def learner_rows(seen: Look) -> Iterator[tuple[str, str]]:
    """What and how much; times in seconds."""
    of = seen.learner.get
    yield "state", f"{of('state')}, process {of('pid')}, heard of {_s(seen.now_ms - int(of('at_ms', 0)))} ago"
    published = f"published {_s(of('age_ms', 0))} ago" if int(of("version", 0)) else "nothing published"
    yield (
        "version",
        f"{of('version')}, {published}, checkpoint {of('checkpoint_version')}, epoch {of('epoch')}",
    )
    yield "learnt", f"{int(of('examples', 0)):,} examples, {float(of('examples_per_s', 0)):,.1f} a second"
    yield "behind", f"{_s(of('lag_ms', 0))}, of which not read {_s(of('backlog_ms', 0))}"
    yield "waiting", f"{int(of('pending', 0)):,} decisions, {int(of('waiting_rows', 0)):,} rows"
    yield "archived", f"{int(of('archived_rows', 0)):,} rows by this process"
    yield "refused", f"{of('gate_refusals')} by the gate, {of('dead_letters')} dead letters"
    yield "trainer restarted", of("trainer_restarts", "0")
    if of("base"):
        yield "base", of("base", "")


def _s(ms: str | float) -> str:
    """Seconds.

    >>> _s("1500")
    '1.5 s'
    """
    return f"{float(ms) / 1000:,.1f} s"
