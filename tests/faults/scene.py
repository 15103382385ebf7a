"""The end of a run of real processes, in the shape in which the checker looks at a seed's end."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import httpx

from policy_learner.join.positions import ms_of
from policy_learner.status import read
from sidecar.contracts.keys import Keys
from sidecar.contracts.store import connect
from tests.faults import checker, effects, reward_places
from tests.faults.customer import Memory, Violation
from tests.faults.logged import Log, read_log
from tests.faults.stage import EARLY_S, HORIZON_S, NAME, Stage
from tests.processes import ROOT
from tests.waiting import until


def come_to_rest(stage: Stage) -> None:
    """All that waits has been closed, and the learner has stopped in order."""
    until(lambda: not stage.spooled(), 60.0, "I8 the spool empty")
    with connect(stage.store.url) as client:
        keys = _keys(stage)
        until(
            lambda: not any(client.zcard(k.due) + client.zcard(k.orphans) for k in keys),
            HORIZON_S + EARLY_S + 60.0,
            "every decision and every orphan closed",
        )
        stage.learner.wait_until(
            lambda: (s := read(client, NAME)) and s.pid == stage.learner.pid, 20.0, "runs"
        )
    code = stage.stop_learner()
    if code:
        raise Violation(f"I6 the learner's orderly stop ended with {code}:\n{stage.learner.output()[-2000:]}")
    if stage.apart:
        stage.stop_helpers()


def check(stage: Stage, memory: Memory) -> Log:
    """Every invariant over store, Parquet and checkpoints, and a replay from outside."""
    log = read_log(stage.data.log(NAME), NAME, stage.application.partitions)
    with connect(stage.store.url) as client:
        scene = SimpleNamespace(
            application=stage.application,
            data=stage.data,
            client=client,
            partitions=_keys(stage),
            customer=SimpleNamespace(memory=memory),
            horizon_ms=round(HORIZON_S * 1000),
            early_ms=round(EARLY_S * 1000),
            service_repeats=True,
            BYSTANDER="",
            bystander={},
        )
        check_rows(memory, log)
        check_found(stage, memory)
        effects.check(scene, log)
        reward_places.check(scene, log)
        checker.check_versions(log)
        checker.check_rebuilding(scene)
        checker.check_store(scene)
    return log


def check_rows(memory: Memory, log: Log) -> None:
    """I1, where attempts that nobody heard of have no ids: a session has no more rows than attempts."""
    rows = {row["decision_id"]: row for row in log.rows}
    if len(rows) < len(log.rows):
        raise Violation("I1 rows that stand twice")
    of_session = Counter(row["session_id"] for row in log.rows)
    asked = {one.session: one for one in memory.asked}
    if not of_session.keys() <= asked.keys():
        raise Violation("I1 rows of nobody")
    many = [one for one in memory.asked if of_session[one.session] > len(one.ids) + one.unheard]
    if many:
        raise Violation(f"I1 {len(many)} sessions with too many rows, among them {many[:3]}")
    missing = [(i, one) for one in memory.asked for i in one.ids if i not in rows]
    if missing:
        raise Violation(f"I1 {len(missing)} decisions without a row, among them {missing[:3]}")
    for one in memory.asked:
        row = rows.get(one.accepted)
        if row and ms_of(row["position"]) < one.first_ms + HORIZON_S * 1000:
            raise Violation(f"I1 closed before its horizon: {one}")
        if row and not checker.as_activated(one, row["activated"]):
            raise Violation(f"I1 activated={row['activated']}: {one}")


def check_found(stage: Stage, memory: Memory) -> None:
    """I1 for who looks them up: whatever was answered, from the store or from the spool."""
    with httpx.Client(base_url=stage.url, headers={"Authorization": f"Bearer {stage.key}"}) as client:
        for decision_id in (i for one in memory.asked for i in one.ids):
            found = client.get(f"/v1/decisions/{decision_id}")
            if found.status_code != 200:
                raise Violation(f"I1 {decision_id} is looked up: {found.status_code} {found.text}")


def check_replay(stage: Stage) -> str:
    """I4 from outside: ``sidearm replay``, with nothing running."""
    command = [sys.executable, "-m", "decision_service.cli.main", "replay"]
    command += ["--app", str(stage.folder), "--data", str(stage.data.root)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise Violation(f"I4 replay ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _keys(stage: Stage) -> list[Keys]:
    return [Keys(NAME, partition) for partition in range(stage.application.partitions)]
