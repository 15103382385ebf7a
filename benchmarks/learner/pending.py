"""A million decisions that wait for their horizon: bytes of the store for each, and how fast they are closed.

Twenty arms, and what one shadow model would have done: the event has no field for that yet, so each payload
has what such a field would hold, a name, a version, float32 scores and an arm, in the place where the next
field would be. Bytes are the store's own count, of everything that a pending decision is: payload, deadline,
and the session's memory of it.

Closing is timed at half a million of them, by as many joiners as there are partitions to share, beside the
rate at which the same store appends the same payloads to a stream and nothing else.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.figures import Figure
from benchmarks.learner.scene import Scene, scene, used_memory
from benchmarks.learner.workload import Workload
from sidecar.contracts.events import encode_decision

PENDING = int(os.environ.get("BENCH_PENDING", "1000000"))
ARMS = 20
LARGEST_BYTES = 1600.0
LEAST_PER_S = 10_000.0
_STEP = 10_000
_FEW = 20_000
_MORE_ARMS = 200
_encode = msgspec.msgpack.encode


def figures() -> list[Figure]:
    """Bytes of each, and of each arm of it; decisions closed a second."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        per_arm = _per_arm(Path(folder))
        with scene(Workload(ARMS, 4), Path(folder) / "s") as stage:
            each, payload = _fill(stage, PENDING)
            closed_per_s = _close(stage, PENDING // 2)
            appended_per_s = _append(stage)
    facts = {"pending": PENDING, "arms": ARMS, "shadows": 1, "partitions": 4}
    return [
        Figure(
            "learner.pending_bytes",
            each,
            "B a decision",
            LARGEST_BYTES,
            "the limit",
            at_most=1.0,
            facts=facts | {"payload_bytes": round(payload), "bytes_per_arm": round(per_arm, 1)},
        ),
        Figure(
            "learner.finalise_per_s",
            closed_per_s,
            "decisions/s",
            LEAST_PER_S,
            "the limit",
            at_least=1.0,
            facts=facts | {"xadd_of_the_same_payloads_per_s": round(appended_per_s)},
        ),
    ]


def with_shadow(payload: bytes) -> bytes:
    """A stored decision with what one shadow would have done, as its next field.

    >>> len(with_shadow(_encode([1, 2]))) - len(_encode([1, 2]))
    97
    """
    event = msgspec.msgpack.decode(payload)
    shadow = {"shadow": [123_456, bytes(4 * ARMS), ARMS - 1]}
    return _encode([*event, shadow])


def _fill(stage: Scene, count: int) -> tuple[float, float]:
    """Bytes of the store for each decision, and of its payload."""
    before, payload = used_memory(stage.client), 0
    for first in range(0, count, _STEP):
        events = stage.workload.decisions(first, min(_STEP, count - first))
        stage.decide(events, with_shadow)
        payload += sum(len(with_shadow(encode_decision(event))) for event in events[:100])
    sampled = 100 * len(range(0, count, _STEP))
    return (used_memory(stage.client) - before) / count, payload / sampled


def _per_arm(folder: Path) -> float:
    """Bytes that one more arm costs, from a few decisions of 20 arms and of 220."""
    found = []
    for arms in (ARMS, ARMS + _MORE_ARMS):
        with scene(Workload(arms, 4), folder / f"s{arms}") as stage:
            before = used_memory(stage.client)
            stage.decide(stage.workload.decisions(0, _FEW))
            found.append((used_memory(stage.client) - before) / _FEW)
    return (found[1] - found[0]) / _MORE_ARMS


def _close(stage: Scene, count: int) -> float:
    """Decisions closed a second, by two joiners, once the first thousand are."""
    for n in (1, 2):
        stage.start("policy_learner.joiner", f"joiner-{n}")
    stage.wait(lambda: all(stage.client.exists(keys.lease) for keys in stage.partitions), "the start")
    stage.pass_horizon()
    stage.wait(lambda: _closed(stage) >= 1000, "the first thousand")
    began, before = time.perf_counter(), _closed(stage)
    stage.wait(lambda: _closed(stage) >= count, "closing", 0.05)
    return (_closed(stage) - before) / (time.perf_counter() - began)


def _closed(stage: Scene) -> int:
    pipe = stage.client.pipeline(transaction=False)
    for keys in stage.partitions:
        pipe.xlen(keys.examples)
    return sum(pipe.execute())


def _append(stage: Scene) -> float:
    """XADD of such payloads a second, 64 in a round trip, into the same store."""
    payloads = [with_shadow(encode_decision(event)) for event in stage.workload.decisions(0, _FEW)]
    began = time.perf_counter()
    for first in range(0, _FEW, 64):
        pipe = stage.client.pipeline(transaction=False)
        for payload in payloads[first : first + 64]:
            pipe.xadd("appended", {"d": payload})
        pipe.execute()
    return _FEW / (time.perf_counter() - began)
