"""What the store says of an application: its learner, its books. Read by ``sidearm status`` and ``up``."""

from __future__ import annotations

import os
from collections import Counter
from typing import NamedTuple, cast

import redis

from decision_service.overload import Share, ask, limits_of, load_of, share_of
from decision_service.settings import ServiceSettings
from decision_service.tally import EXCLUDED, saved_share
from sidecar.contracts.application import Application
from sidecar.contracts.books import Books
from sidecar.contracts.contests import ModelFigures, decode_shown
from sidecar.contracts.errors import BadModel
from sidecar.contracts.keys import Keys, answers, contests, learner_status, roster, workers
from sidecar.contracts.roster import FIRST_ROSTER, Roster, answered_share
from sidecar.contracts.roster_check import decode_roster
from sidecar.contracts.scripts.working import Seen, decode_workers
from sidecar.contracts.settings import load_settings
from sidecar.contracts.store import Scripts
from sidecar.contracts.upkeep import read_books

SILENT_AFTER_MS = 5000
"""The learner writes its status every second: one that is older was written by nobody who still works."""
NONE: Counter[str] = Counter()


class Look(NamedTuple):
    """One moment of an application."""

    now_ms: int
    """The store's clock."""
    learner: dict[str, str]
    """The learner's own status, by field; empty when none ever ran."""
    books: Books
    """What is missing (positive) or doubled (negative), all partitions together."""
    pending: int
    """Decisions that wait for their horizon."""

    workers: tuple[Seen, ...] = ()
    """Joiners and archivers beside the learner."""
    share: Share = Share()
    """The smallest share of decisions that a partition logs: 1 but for overload."""
    answers: Counter[str] = NONE
    """Source of decisions, or ``excluded`` arms, to how many there were since the store was made."""
    roster: Roster | None = FIRST_ROSTER
    """The models that score; None: what lies there is no roster."""
    figures: tuple[ModelFigures, ...] = ()
    """Of each of several models, as the learner wrote them last."""

    def silent_ms(self) -> int | None:
        """How long ago the learner last wrote its status, where that is too long; None while it works."""
        age_ms = self.now_ms - int(self.learner.get("at_ms", 0))
        return age_ms if self.learner and age_ms > SILENT_AFTER_MS else None


def look(client: redis.Redis, application: Application) -> Look:
    """Look at every partition and at the learner's status."""
    partitions = [Keys(application.name, p) for p in range(application.partitions)]
    scripts = Scripts.on(client)
    balances = [read_books(scripts, keys) for keys in partitions]
    pipe = client.pipeline(transaction=False)
    pipe.time()
    pipe.hgetall(learner_status(application.name))
    pipe.hgetall(workers(application.name))
    pipe.hgetall(answers(application.name))
    pipe.hgetall(roster(application.name))
    pipe.hget(contests(application.name), "shown")
    for keys in partitions:
        pipe.zcard(keys.due)
    (seconds, micros), stored, helpers, told, models, shown, *pending = pipe.execute()
    status = {name.decode(): value.decode() for name, value in cast("dict[bytes, bytes]", stored).items()}
    books = Books(sum(b.decisions for b in balances), sum(b.rewards for b in balances))
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    share = _least_share(client, application)
    answered = Counter({source.decode(): int(count) for source, count in told.items()})
    return Look(
        now_ms,
        status,
        books,
        sum(pending),
        tuple(decode_workers(helpers)),
        share,
        answered,
        _roster(models),
        decode_shown(shown).models,
    )


def _least_share(client: redis.Redis, application: Application) -> Share:
    """As the service sees it, with the settings that it would have here."""
    settings = load_settings(ServiceSettings, "decision_service", application.decision_service, os.environ)
    pipe = client.pipeline(transaction=False)
    ask(pipe, application.name, application.partitions)
    load, limits = load_of(*pipe.execute()), limits_of(application, settings)
    return min((share_of(load, p, limits) for p in range(application.partitions)), key=lambda s: s.value)


def in_one_line(seen: Look) -> str:
    """The figures to watch.

    >>> in_one_line(Look(9_000, {}, Books(0, 0), 3))
    'pending 3 · no learner has run yet · books balance'
    >>> status = {"version": "7", "age_ms": "1500", "examples": "2100", "archived_rows": "9", "at_ms": "8900"}
    >>> in_one_line(Look(9_000, status, Books(1, 0), 3))
    'pending 3 · version 7, 1.5 s old · 2,100 examples · 9 rows archived · BOOKS: decisions 1, rewards 0'
    >>> in_one_line(Look(9_000, {}, Books(0, 0), 3, share=Share(0.4, "memory")))
    'pending 3 · no learner has run yet · OVERLOAD (memory): 40% of decisions logged · books balance'
    >>> in_one_line(Look(9_000, {}, Books(0, 0), 3, answers=Counter(model=20, pre_policy=2800, excluded=8)))
    'pending 3 · no learner has run yet · rules answered 99.3% of 2,820 decisions · books balance'
    """
    parts = [f"pending {seen.pending:,}"]
    if not seen.learner:
        parts.append("no learner has run yet")
    elif silent_ms := seen.silent_ms():
        parts.append(f"the learner has been silent for {silent_ms / 1000:.0f} s")
    else:
        of = seen.learner.get
        parts += [
            f"version {of('version', '0')}, {int(of('age_ms', 0)) / 1000:.1f} s old",
            f"{int(of('examples', 0)):,} examples",
            f"{int(of('archived_rows', 0)) + sum(_archived(seen)):,} rows archived",
        ]
        if of("last_error"):
            parts.append(f"learner: {of('last_error')}")
    parts += [f"{one.name}: {one.worker.error}" for one in seen.workers if one.worker.error]
    if joiners := sum(one.worker.kind == "joiner" for one in _at_work(seen)):
        parts.append(f"{joiners} joiners")
    if seen.answers["pre_policy"]:
        answered = seen.answers.total() - seen.answers[EXCLUDED]
        parts.append(f"rules answered {saved_share(seen.answers):.1%} of {answered:,} decisions")
    if seen.roster is None:
        parts.append("MODELS: the roster cannot be read")
    elif len(seen.roster.models) > 1:
        parts.append(models_in_short(seen.roster))
    if seen.share.reason:
        parts.append(f"OVERLOAD ({seen.share.reason}): {seen.share.value:.0%} of decisions logged")
    decisions, rewards = seen.books
    parts.append(
        "books balance" if seen.books.balanced else f"BOOKS: decisions {decisions}, rewards {rewards}"
    )
    return " · ".join(parts)


def models_in_short(roster: Roster) -> str:
    """Who answers which share, and how many models score beside them.

    >>> models_in_short(FIRST_ROSTER)
    'models: champion 100%'
    """
    shares = {one.name: answered_share(roster, one) for one in roster.models}
    said = [f"{name} {share:.0%}" for name, share in shares.items() if share is not None]
    others = Counter(one.role for one in roster.models if not one.can_answer)
    return "models: " + ", ".join([*said, *[f"{n} {role}" for role, n in sorted(others.items())]])


def _roster(stored: dict[bytes, bytes]) -> Roster | None:
    try:
        return decode_roster(stored)
    except BadModel:
        return None


def _at_work(seen: Look) -> list[Seen]:
    return [one for one in seen.workers if seen.now_ms - one.at_ms <= SILENT_AFTER_MS]


def _archived(seen: Look) -> list[int]:
    """Rows that archivers beside the learner have written."""
    return [one.worker.done for one in seen.workers if one.worker.kind == "archiver"]
