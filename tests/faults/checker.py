"""The invariants when everything has come to rest: over the store, the Parquet log and the checkpoints."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from policy_learner.errors import LearnerError
from policy_learner.join.catalogues import Catalogues, read_from_log
from policy_learner.join.positions import ms_of
from policy_learner.learning.training import Training
from policy_learner.models import checkpoint
from policy_learner.models.replay import rebuilt
from policy_learner.models.replayed import Replayed
from sidecar.contracts import keys as app_keys
from sidecar.contracts.events import letter_of
from sidecar.contracts.store import Scripts
from sidecar.contracts.upkeep import read_books
from tests.faults import effects, reward_places
from tests.faults.customer import Violation
from tests.faults.logged import read_log

LASTING = (
    *("c", "late", "ex", "dead", "skew", "w", "w:log", "epoch", "catalogues", "learner", "learnt", "workers"),
    *("w:infos", "w:models", "w:deltas", "w:serving", "w:pin", "w:notices", "w:canaries"),
    *(
        "answers",
        "arms",
        "arms:notices",
        "arms:serving",
        "arms:counted",
        "earned:counted",
        "w:course",
        "nodes",
    ),
)
"""Keys without an expiry that may be left when nothing is going on."""


def check_at_rest(sim) -> None:
    """All of it.

    Raises:
        Violation: one does not hold.
    """
    try:
        log = read_log(sim.data.log(sim.application.name), sim.application.name, len(sim.partitions))
    except (LearnerError, OSError) as error:
        raise Violation(f"I1 the log is broken: {error}") from error
    check_rows(sim, log)
    effects.check(sim, log)
    reward_places.check(sim, log)
    check_versions(log)
    check_rebuilding(sim)
    check_store(sim)


def check_rows(sim, log) -> None:
    """I1: what was accepted has one row, what has a row was asked for, and its horizon was kept."""
    rows = {row["decision_id"]: row for row in log.rows}
    doubled = [i for i, n in Counter(row["decision_id"] for row in log.rows).items() if n > 1]
    _hold("I1", not doubled, f"rows that stand twice: {doubled}")
    asked_of = {i: asked for asked in sim.customer.memory.asked for i in asked.ids if asked.first_ms >= 0}
    _hold("I1", rows.keys() <= asked_of.keys(), "a row for what nobody asked")
    for asked in sim.customer.memory.asked:
        found = [i for i in asked.ids if i in rows]
        _hold("I1", len(found) <= 1, f"one request, several rows: {asked}")
        _hold("I1", not asked.accepted or found == [asked.accepted], f"no row for {asked}")
        for decision_id in found:
            row, end_ms = rows[decision_id], asked.first_ms + sim.horizon_ms
            _hold("I1", ms_of(row["position"]) >= end_ms, f"closed before its horizon: {asked}")
            _hold("I2", not asked.mode or row["mode"] == letter_of(asked.mode), f"{row} of {asked}")
            _hold("I1", as_activated(asked, row["activated"]), f"activated={row['activated']}: {asked}")
            told = row["activated"] and not asked.poison
            _hold("I2", row["learn"] == told, f"learn={row['learn']} for {asked}")
    _hold("I1", not log.strays, f"half-written files were left: {log.strays}")


def as_activated(asked, activated) -> bool:
    """Whether a row says of an activation what was answered; unanswered it may be either."""
    return asked.activated is None or activated == (asked.activated or not asked.deferred)


def check_versions(log) -> None:
    """I5, as the log tells it."""
    told = [(entry.version, entry.epoch, entry.examples) for entry in log.versions]
    _hold("I5", [v for v, _, _ in told] == list(range(1, len(told) + 1)), f"versions are {told}")
    for before, after in pairwise(told):
        _hold("I5", before[1] <= after[1] and before[2] <= after[2], f"{after} follows {before}")


def check_rebuilding(sim) -> None:
    """I4: from the log, and from the last checkpoint, come the published weights, bit for bit."""
    app, log = sim.application, sim.data.log(sim.application.name)
    result, catalogues = Replayed(), Catalogues(read_from_log(log))
    versions = list(rebuilt(app, log, catalogues, result))
    _hold("I4", result.clean, f"trained again, the weights are others: {result.told}")
    stored = sim.client.hmget(app_keys.weights(app.name), "version", "checksum", "epoch")
    if stored[0] is None:
        return
    _hold("I4", versions and versions[-1][0] == int(stored[0]), f"{stored} is published, not in the log")
    saved = checkpoint.load_latest(sim.data.checkpoints(app.name))
    _hold("I4", saved and saved.version == int(stored[0]), f"{stored} is published, saved is {saved}")
    record = Training.of(app, catalogues, saved).record(saved.version, int(stored[2]))
    _hold("I4", record.checksum.encode() == stored[1], "the checkpoint is not of the published weights")


def check_store(sim) -> None:
    """I6, I8, I9: books, leftovers, and keys of nobody else."""
    scripts = Scripts.on(sim.client)
    for keys in sim.partitions:
        balance = read_books(scripts, keys, count_rewards=True)
        _hold("I6", balance.balanced, f"partition {keys.partition}: {balance}")
        counted = (sim.client.xlen(keys.examples), sim.client.xlen(keys.late))
        _hold("I8", max(counted) <= 1, f"partition {keys.partition} keeps {counted} entries")
    names = sim.client.keys("*")
    pipe = sim.client.pipeline(transaction=False)
    for name in names:
        pipe.pttl(name)
    tags = (f"{{{sim.application.name}}}:", *(f"{{{k.app}.{k.partition}}}:" for k in sim.partitions))
    for name, ttl_ms in zip((n.decode() for n in names), pipe.execute(), strict=True):
        if name == sim.BYSTANDER:  # whose key it is, is checked below
            continue
        _hold("I9", name.startswith(tags), f"{name} is nobody's")
        _hold("I8", ttl_ms > 0 or name.partition(":")[2] in LASTING, f"{name} stays for ever")
    _hold("I9", sim.client.hgetall(sim.BYSTANDER) == sim.bystander, "somebody else's data was changed")


def _hold(invariant: str, holds: object, otherwise: str) -> None:
    if not holds:
        raise Violation(f"{invariant} {otherwise}")
