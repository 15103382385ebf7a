"""Arms and contexts of late, from the store and the log: enough to name most of a model's features."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec
import pyarrow.parquet as pq
import redis

from policy_learner.archive import chain
from sidecar.contracts import keys
from sidecar.contracts.application import Application, Arm, FeatureValue
from sidecar.contracts.catalogue import decode_arms
from sidecar.contracts.errors import BadEvent, SidearmError
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.scripts.finalise import decode_example


def arms_of_catalogues(client: redis.Redis, app: str) -> list[Arm]:
    """The arms of every catalogue version that the store holds."""
    arms: list[Arm] = []
    for stored in cast("dict[bytes, bytes]", client.hgetall(keys.catalogues(app))).values():
        try:
            arms += decode_arms(stored)
        except SidearmError:
            continue  # names only: what cannot be read names nothing
    return arms


def recent_contexts(
    client: redis.Redis, application: Application, data: DataFolder, count: int
) -> list[dict[str, FeatureValue]]:
    """Contexts of the last finalised decisions, ``count`` a partition from store and log each."""
    if not count:
        return []
    found = []
    for partition in range(application.partitions):
        found += _in_store(client, Keys(application.name, partition), count)
        found += _in_log(data.log(application.name), application.name, partition, count)
    return found


def _in_store(client: redis.Redis, keys: Keys, count: int) -> list[dict[str, FeatureValue]]:
    entries = client.xrevrange(keys.examples, count=count)
    contexts = []
    for position, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", entries):
        try:
            contexts.append(dict(decode_example(keys.partition, position, fields).decision.context))
        except BadEvent:
            continue
    return contexts


def _in_log(log: Path, app: str, partition: int, count: int) -> list[dict[str, FeatureValue]]:
    links = chain.links(chain.dataset_folder(log, "decisions", app), partition)
    if not links:
        return []
    column = pq.read_table(links[-1].path, columns=["context"], partitioning=None)["context"]
    stored = column.slice(max(0, len(column) - count)).to_pylist()
    return [msgspec.json.decode(context, type=dict[str, FeatureValue]) for context in stored]
