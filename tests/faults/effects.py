"""I2: what each decision did to the model, by the mode that it was made in. Said again here, not asked of us.

=========  =======================  =====================================================================
mode       row                      lessons before it
=========  =======================  =====================================================================
wait       learnt                   none
assume     not learnt               A with the default, a C for each reward; together the row's reward
earliest   learnt without a reward  one E with a reward or more, if the row has any
=========  =======================  =====================================================================

Of a decision that was deferred and never activated there is the row, and nothing is learnt.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

from policy_learner.join.positions import order
from sidecar.contracts import keys as app_keys
from sidecar.contracts.weights import decode_weights
from tests.faults.customer import Violation


def check(sim, log) -> None:
    """Every effect is in one stretch of one version, and there are no others.

    Raises:
        Violation: it is not so.
    """
    lessons = defaultdict(list)
    for lesson in sorted(log.lessons, key=lambda one: order(one["position"])):
        lessons[lesson["decision_id"]].append(lesson)
    strangers = lessons.keys() - {row["decision_id"] for row in log.rows}
    _hold(not strangers, f"lessons of what has no row: {strangers}")
    for row in log.rows:
        _check_lessons(row, lessons[row["decision_id"]])
    effects = [*log.lessons, *filter(_is_example, log.rows)]
    learnt = [one for one in effects if one["learn"]]
    _check_stretches(sim, log, learnt)
    record = sim.client.hget(app_keys.weights(sim.application.name), "record")
    counted = decode_weights(record).header.examples if record else 0
    _hold(counted == len(learnt), f"weights of {counted} examples, {len(learnt)} were to be learnt")
    _check_dead_letters(sim, effects)


def _check_dead_letters(sim, effects) -> None:
    """What is refused is there, and nothing else."""
    entries = [fields for keys in sim.partitions for _, fields in sim.client.xrange(keys.dead)]
    dead = Counter((f[b"i"].decode(), f[b"k"].decode()) for f in entries)
    refused = Counter((one["decision_id"], one.get("kind", "F")) for one in effects if not one["learn"])
    if dead != refused:
        raise Violation(f"I3 dead letters {dead}, refused {refused}")


def _is_example(row) -> bool:
    """Whether a row itself is learnt from."""
    if not row["activated"]:
        return False
    return row["mode"] == "w" or (row["mode"] == "e" and row["reward_source_n"] == 0)


def _check_lessons(row, lessons) -> None:
    kinds = "".join(lesson["kind"] for lesson in lessons)
    rewarded = row["reward_source_n"] if row["activated"] else 0
    match row["mode"] if row["activated"] else "w":
        case "a":
            keys = {lesson["reward_key"] for lesson in lessons[1:]}
            _hold(kinds == "A" + "C" * rewarded and len(keys) == rewarded, f"{row} has lessons {lessons}")
            total = sum(lesson["reward"] for lesson in lessons)
            _hold(total == row["reward"], f"{row} was learnt as {total}: {lessons}")
        case "e":
            _hold(kinds == "E" * min(rewarded, 1), f"{row} has lessons {lessons}")
            early = all(0 < one["reward"] <= row["reward"] for one in lessons)
            _hold(early, f"{row} was learnt with what it did not earn: {lessons}")
        case _:
            _hold(not lessons, f"{row} has lessons {lessons}")
    before = all(order(lesson["position"]) < order(row["position"]) for lesson in lessons)
    _hold(before, f"{row} has lessons after it: {lessons}")


def _check_stretches(sim, log, learnt) -> None:
    batches = [batch for entry in log.versions for batch in entry.batches]
    for partition in range(len(sim.partitions)):
        of_it = [b for b in batches if b.partition == partition]
        ends = [(order(b.first), order(b.last)) for b in of_it]
        overlap = [pair for pair in pairwise(ends) if pair[1][0] <= pair[0][1]]
        _hold(not overlap, f"partition {partition} was trained on twice: {overlap}")
        for one in (one for one in learnt if one["partition"] == partition):
            at = order(one["position"])
            _hold(any(a <= at <= b for a, b in ends), f"never trained on: {one}")


def _hold(holds: object, otherwise: str) -> None:
    if not holds:
        raise Violation(f"I2 {otherwise}")
