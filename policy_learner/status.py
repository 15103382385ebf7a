"""What the learner says of itself, once a second, in a hash that ``sidearm status`` reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import redis
from msgspec import Struct

from policy_learner.join.positions import ms_of
from sidecar.contracts.keys import Keys, app_skew, learner_status, weights
from sidecar.contracts.scripts.call import script_text, text
from sidecar.contracts.store import Scripts
from sidecar.contracts.upkeep import read_books

RUNNING, STOPPING, STOPPED = "running", "stopping", "stopped"


class Status(Struct, frozen=True, kw_only=True):
    """How the learner is. Every field is one field of the hash."""

    state: str
    """``running``; ``stopping`` while it still learns what is there; ``stopped``."""
    pid: int
    at_ms: int
    """When this was written, by the store's clock."""
    epoch: int
    version: int
    """Last version published."""
    examples: int
    """Trained on since the model was cold."""
    examples_per_s: float
    """Since the status before."""
    positions: str
    """JSON: last stream position read, for each partition."""
    lag_ms: int
    """Age of the oldest due decision or finalised example that no published version has seen; 0 if none."""
    age_ms: int
    """Since the last version was published; 0 before the first."""
    pending: int
    """Decisions that wait for their horizon."""
    books_decisions: int
    """Decisions missing (positive) or doubled; must be 0."""
    books_rewards: int
    """Rewards missing (positive) or doubled; must be 0."""
    archived_rows: int
    """Rows written by this process."""
    waiting_rows: int
    """Rows read and not yet in a file."""
    checkpoint_version: int
    dead_letters: int
    """Entries that could not be learnt, in the dead-letter streams."""
    gate_refusals: int
    """Publications refused by the gate since this process started."""
    rebuild_mismatch: int
    """1: the weights rebuilt at the start were not the published ones, bit for bit."""
    last_error: str
    """Empty while all is well."""
    progressive: str = ""
    """JSON, ``learner_report.Progressive``: how well the model foresees what it is about to learn."""
    gate: str = ""
    """JSON, ``learner_report.Judgement``: the gate's latest, with its numbers."""
    refusals: str = ""
    """JSON: the latest of those that refused, oldest first."""
    base: str = ""
    """The last base that was offered, and what became of it."""
    backlog_ms: int = 0
    """Age of the oldest due decision that is not finalised or finalised example that was not read: as
    ``lag_ms``, without what is learnt and waits to be published. The service logs less when it grows."""
    trainer_restarts: int = 0
    """How often the process that runs VW had to be started again since this one started."""


class StoreView(Struct, frozen=True):
    """What the status takes from the store."""

    now_ms: int
    pending: int
    overdue_ms: int
    """How long the oldest decision has been due and not finalised."""
    unread_ms: int
    """When the oldest example that was not read yet was finalised; ``now_ms`` when all were read."""
    age_ms: int
    """Since the version that stands was published, by whomever; 0 before the first."""
    books_decisions: int
    books_rewards: int
    dead_letters: int


def look(scripts: Scripts, partitions: Sequence[Keys], positions: Sequence[str]) -> StoreView:
    """Look at the store, all partitions, each read up to its position."""
    app = partitions[0].app
    pipe = scripts.client.pipeline(transaction=False)
    pipe.time()
    pipe.hget(weights(app), "clock_ms")
    pipe.get(app_skew(app))
    for keys, position in zip(partitions, positions, strict=True):
        pipe.zcard(keys.due)
        pipe.zrange(keys.due, 0, 0, withscores=True)
        pipe.xlen(keys.dead)
        pipe.get(keys.skew)
        pipe.xrange(keys.examples, f"({position}", "+", 1)
    (seconds, micros), published_ms, skew_ms, *replies = pipe.execute()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    oldest = zip(replies[1::5], replies[3::5], strict=True)
    overdue = [now_ms + int(skew or 0) - int(first[0][1]) for first, skew in oldest if first]
    unread = [ms_of(text(entries[0][0])) for entries in replies[4::5] if entries]
    balances = [read_books(scripts, keys) for keys in partitions]
    return StoreView(
        now_ms,
        sum(replies[0::5]),
        max([0, *overdue]),
        min([now_ms, *unread]),
        0 if published_ms is None else max(0, now_ms + int(skew_ms or 0) - int(published_ms)),
        sum(balance.decisions for balance in balances),
        sum(balance.rewards for balance in balances),
        sum(replies[2::5]),
    )


def write(client: redis.Redis, app: str, status: Status) -> None:
    """Put the status where ``sidearm status`` looks, at the store's memory limit too."""
    fields = [part for field in msgspec.structs.asdict(status).items() for part in field]
    client.register_script(script_text("status"))(keys=[learner_status(app)], args=fields)


def read(client: redis.Redis, app: str) -> Status | None:
    """The status as it was written last; None when no learner ever ran."""
    stored = cast("dict[bytes, bytes]", client.hgetall(learner_status(app)))
    if not stored:
        return None
    fields = {name.decode(): value.decode() for name, value in stored.items()}
    return msgspec.convert(fields, Status, strict=False)
