"""Impressions of the data set as decisions with their logged propensities, and their clicks as rewards.

They go through the same scripts as live ones, so that the learner joins, trains on and archives them exactly
as those. A click is sent before its impression: it waits in the store, and no horizon is too short for it.
Ids are derived from the row, so importing again finds every row there already, and changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl

from examples.fashion.application import arm_id
from examples.fashion.dataset import Campaign, Policy
from sidecar.contracts.application import Application, Exploration
from sidecar.contracts.catalogue import Catalogue, encode_arms
from sidecar.contracts.events import DecisionEvent, encode_reward_tail
from sidecar.contracts.ids import new_decision_id, partition_of_session
from sidecar.contracts.keys import Keys, catalogues
from sidecar.contracts.scripts.decide import DecideStatus, decide_call, entry_of, parse_decide
from sidecar.contracts.scripts.reward import RewardEntry, RewardStatus, limits_of, parse_reward, reward_call
from sidecar.contracts.store import Scripts

LEARN_SHARE = 0.7
"""The first rows by time are trained on; the rest is for evaluation only."""
BATCH = 256
BTS_DRAWS = 200_000
"""Draws behind each propensity of the Bernoulli TS log: nearly all of them are multiples of 1/200,000."""

Advance = Callable[[int], None]


class Row(NamedTuple):
    """One impression, ready to be sent."""

    event: DecisionEvent
    clicked: bool
    partition: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the rows."""

    rows: int
    learnt: int
    """Rows marked for training: the first ones by time."""
    split_at: datetime
    """Time of the first row that is not trained on."""
    decisions: Counter[DecideStatus]
    rewards: Counter[RewardStatus]

    @property
    def new(self) -> int:
        """Rows that were not there before."""
        return self.decisions[DecideStatus.OK]


def import_rows(
    scripts: Scripts,
    application: Application,
    catalogue: Catalogue,
    frame: pl.DataFrame,
    policy: Policy,
    campaign: Campaign,
    advance: Advance = lambda rows: None,
) -> Imported:
    """Send every impression of ``frame`` (from ``dataset.read``), oldest first.

    Raises:
        StoreError: the store went away; import again, nothing will stand twice.
    """
    scripts.client.hsetnx(catalogues(application.name), catalogue.version, encode_arms(catalogue.arms))
    decisions: Counter[DecideStatus] = Counter()
    rewards: Counter[RewardStatus] = Counter()
    split = round(LEARN_SHARE * len(frame))
    rows = list(rows_of(frame, split, application, catalogue, policy, campaign))
    for batch in (rows[at : at + BATCH] for at in range(0, len(rows), BATCH)):
        for partition in range(application.partitions):
            mine = [row for row in batch if row.partition == partition]
            if mine:
                keys = Keys(application.name, partition)
                rewards.update(_send_clicks(scripts, application, keys, mine))
                decisions.update(_send_decisions(scripts, application, keys, mine))
        advance(len(batch))
    first = rows[min(split, len(rows) - 1)].event.decided_at_ms
    split_at = datetime.fromtimestamp(first / 1000, UTC)
    return Imported(len(rows), split, split_at, decisions, rewards)


def rows_of(
    frame: pl.DataFrame,
    split: int,
    application: Application,
    catalogue: Catalogue,
    policy: Policy,
    campaign: Campaign,
) -> Iterator[Row]:
    """The impressions as events; those before ``split`` are to be learnt from."""
    places = {arm.id: place for place, arm in enumerate(catalogue.arms)}
    for number, row in enumerate(frame.iter_rows(named=True)):
        session_id = f"obd-{campaign}-{policy}-{number}"
        partition = partition_of_session(session_id, application.partitions)
        decided_at_ms = round(row["timestamp"].timestamp() * 1000)
        arm = arm_id(row["item_id"])
        event = DecisionEvent(
            decision_id=new_decision_id(partition, decided_at_ms, _entropy(session_id)),
            session_id=session_id,
            unit_id=session_id,
            decided_at_ms=decided_at_ms,
            horizon_ms=round(application.reward.horizon_s * 1000),
            source="import",
            policy=policy,
            model_version=0,
            catalogue=catalogue.version,
            context=(context := _context(row)),
            outcomes=dict.fromkeys(context, "given"),
            arms=(),
            given_arms={},
            scores=b"",
            exploration=Exploration("logged", 0.0, 0.0),
            arm=arm,
            arm_index=places[arm],
            propensity=row["propensity"],
            seed="",
            learn=number < split,
            propensity_mc_n=BTS_DRAWS if policy == "bts" else 0,
        )
        yield Row(event, bool(row["click"]), partition)


def _send_clicks(
    scripts: Scripts, application: Application, keys: Keys, rows: Iterable[Row]
) -> list[RewardStatus]:
    value = application.reward.events["click"]
    entries = [
        RewardEntry(
            row.event.decision_id,
            f"click-{row.event.session_id}",
            encode_reward_tail(value, row.event.decided_at_ms, "click", ""),
        )
        for row in rows
        if row.clicked
    ]
    if not entries:
        return []
    limits = limits_of(application.reward, application.model.max_pending)
    reply = scripts.run(reward_call(keys, entries, limits))
    return [answer.status for answer in parse_reward(reply)]


def _send_decisions(
    scripts: Scripts, application: Application, keys: Keys, rows: Iterable[Row]
) -> list[DecideStatus]:
    call = decide_call(
        keys,
        [entry_of(row.event) for row in rows],
        max_pending=application.model.max_pending,
        tombstone_ms=round(application.reward.tombstone_s * 1000),
    )
    return [answer.status for answer in parse_decide(scripts.run(call))]


def _entropy(session_id: str) -> int:
    """64 bits that are the same at every import."""
    return int.from_bytes(hashlib.blake2b(session_id.encode(), digest_size=8).digest())


def _context(row: dict[str, object]) -> dict[str, str | float | bool]:
    """Where on the page, and what is known of the user. The position is a category, not a magnitude."""
    users = {f"user_feature_{i}": str(row[f"user_feature_{i}"]) for i in range(4)}
    return {"position": str(row["position"]), **users}
