"""Fill the feature store from a file: everything is written aside, counted, and then shown in one step.

A load that was interrupted goes on where it stopped when it is begun again with the same file. A file that
is what the table holds already is not written again. Two loads of one table at once: the one that began
last wins, the other is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from decision_service.sources.errors import BadSource, BadTable
from decision_service.sources.frames import KEY, read_bytes, table_of
from decision_service.sources.store import checked_name
from sidecar.contracts.errors import BadEvent, SidearmError
from sidecar.contracts.feature_table import (
    FORMAT,
    GRACE_MS,
    Column,
    TableRecord,
    decode_record,
    encode_record,
    encode_row,
    slot_of,
)
from sidecar.contracts.keys import FeatureKeys
from sidecar.contracts.store import WatchError, is_cluster

if TYPE_CHECKING:
    import polars as pl
    import redis
    import redis.client

BATCH_ROWS = 2_000
"""Rows in one round trip: some hundred kilobytes, and progress that is seen."""
ROWS_A_SLOT = 250_000
"""What one hash should hold: above it, moving the slot to another node of a cluster would be felt."""
UNFINISHED_MS = 86_400_000
"""How long the rows of a load that nobody goes on with stay."""
MAX_ROW_BYTES = 1 << 20

Progress = Callable[[int], None]
"""Told how many rows are in the store so far."""


class LoadLost(SidearmError):
    """Somebody else began to load the same table, or rows went away while they were loaded."""


class Prepared(NamedTuple):
    """A file that can be loaded."""

    keys: FeatureKeys
    frame: pl.DataFrame
    key: tuple[str, ...]
    digest: str
    slots: int

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the rows, with their types."""
        return tuple(Column(name, str(kind)) for name, kind in self.frame.schema.items() if name != KEY)


class Loaded(NamedTuple):
    """What a load did."""

    record: TableRecord
    written: int
    """Rows that this run sent."""
    resumed: int
    """Rows that an earlier run had sent."""


def prepare(path: Path, keys: FeatureKeys, key: Sequence[str], slots: int | None = None) -> Prepared:
    """Read and check a file; nothing is asked of the store. All its rows are in memory afterwards.

    Args:
        path: Parquet or Arrow IPC.
        keys: of the table.
        key: its key columns.
        slots: into how many hashes the rows go; None: as many as their number asks for.

    Raises:
        BadTable: the file is no such table.
        BadSource: the table's name is none, slots is below 1, or Polars is not installed.
    """
    checked_name(keys.table)
    if slots is not None and not 1 <= slots <= 16_384:
        raise BadSource(f"{slots} slots; legal: 1 to 16384")
    data = read_bytes(path)
    frame = table_of(data, path, key)
    digest = _digest(data, key, slots)
    return Prepared(keys, frame, tuple(key), digest, slots or -(-frame.height // ROWS_A_SLOT))


def load(
    client: redis.Redis,
    prepared: Prepared,
    owner: str,
    now_ms: int,
    ttl_ms: int | None = None,
    progress: Progress = lambda rows: None,
    *,
    again: bool = False,
) -> Loaded:
    """Write a prepared file and show it to readers, who see the old table until the last step.

    Args:
        client: of the store; may be slow, nothing is ever sent twice by itself.
        prepared: what to write.
        owner: any text that no other load has.
        now_ms: the time, part of the generation's name.
        ttl_ms: how long the table stays; None: until it is replaced.
        progress: told after every batch.
        again: write it even if the store holds it or a part of it.

    Raises:
        LoadLost: another load began meanwhile, or rows went away.
        BadTable: a row is too long.
        StoreError: the store failed; begin again and it goes on from there.
    """
    keys, current = prepared.keys, read_record(client, prepared.keys)
    ends_at_ms = None if ttl_ms is None else now_ms + ttl_ms
    if current is not None and current.digest == prepared.digest and not again:
        record = msgspec.structs.replace(current, expires_at_ms=ends_at_ms)
        _prolong(client, keys, current, record)
        progress(record.rows)
        return Loaded(record, 0, 0)
    generation, done = _begin(client, prepared, owner, now_ms, again=again)
    progress(done)
    for written in _write(client, prepared, owner, generation, done):
        progress(written)
    record = TableRecord(
        table=keys.table,
        generation=generation,
        digest=prepared.digest,
        key=prepared.key,
        columns=prepared.columns,
        rows=prepared.frame.height,
        slots=prepared.slots,
        loaded_at_ms=now_ms,
        expires_at_ms=ends_at_ms,
        previous=None if current is None else current.generation,
        previous_slots=0 if current is None else current.slots,
    )
    _show(client, keys, owner, record)
    for replaced in (current, record):  # the first: where a load died before it came to its own
        _retire_previous(client, keys, replaced)
    return Loaded(record, record.rows - done, done)


def read_record(client: redis.Redis, keys: FeatureKeys) -> TableRecord | None:
    """What the store says of a table; None if it has none, or none that this program can read."""
    data = client.get(keys.record)
    try:
        return decode_record(data) if isinstance(data, bytes) else None
    except BadEvent:
        return None


def _digest(data: bytes, key: Sequence[str], slots: int | None) -> str:
    """Of all that decides which bytes lie where."""
    content = hashlib.sha256(data)
    content.update(repr((FORMAT, tuple(key), slots)).encode())
    return content.hexdigest()[:32]


def _begin(
    client: redis.Redis, prepared: Prepared, owner: str, now_ms: int, *, again: bool
) -> tuple[str, int]:
    """Take the table's load over: the generation to write, and how many of its rows an earlier load left."""
    keys = prepared.keys
    generation, digest, done, slots = _marker(client, keys)
    ours = digest == prepared.digest and not again
    if generation and ours and _count(client, keys, generation, slots) >= done:
        client.hset(keys.loading, "owner", owner)
        return generation, done
    fresh = f"{now_ms}-{owner}"
    fields = ("owner", owner, "generation", fresh, "digest", prepared.digest)
    client.hset(keys.loading, items=[*fields, "slots", prepared.slots, "done", 0])
    if generation:
        _for_each_slot(client, keys, generation, slots, "unlink")
    return fresh, 0


def _marker(client: redis.Redis, keys: FeatureKeys) -> tuple[str, str, int, int]:
    """What an unfinished load left: generation, digest, rows done, slots; empty if there is none."""
    generation, digest, done, slots = _hmget(client, keys.loading, "generation", "digest", "done", "slots")
    return generation, digest, int(done or 0), int(slots or 0)


def _write(client: redis.Redis, prepared: Prepared, owner: str, generation: str, done: int) -> Iterator[int]:
    """Send what is not there yet, batch by batch; yields how many rows are there."""
    keys, frame = prepared.keys, prepared.frame
    texts, rows = frame[KEY], frame.drop(KEY)
    for start in range(done, frame.height, BATCH_ROWS):
        by_slot: dict[int, dict[str, bytes]] = {}
        batch = zip(texts.slice(start, BATCH_ROWS), rows.slice(start, BATCH_ROWS).iter_rows(), strict=True)
        for text, values in batch:
            by_slot.setdefault(slot_of(text, prepared.slots), {})[text] = _encoded(values, text)
        end = min(start + BATCH_ROWS, frame.height)
        with _as_owner(client, keys, owner) as step:
            with _of_all_slots(client, step) as rows_step:
                for slot, fields in by_slot.items():
                    name = keys.rows(generation, slot)
                    rows_step.hset(name, mapping=fields)  # type: ignore[arg-type]  # bytes are legal values
                    rows_step.pexpire(name, UNFINISHED_MS)
            step.hset(keys.loading, "done", str(end))
        yield end


def _encoded(values: Sequence[object], key: str) -> bytes:
    data = encode_row(values)
    if len(data) > MAX_ROW_BYTES:
        raise BadTable(f"the row of key {key!r} is {len(data):,} bytes long; legal: {MAX_ROW_BYTES:,}")
    return data


def _show(client: redis.Redis, keys: FeatureKeys, owner: str, record: TableRecord) -> None:
    """The one step from the old table to the new: not before every row is counted, not under another load."""
    counted = _count(client, keys, record.generation, record.slots)
    with _as_owner(client, keys, owner) as step:
        step.delete(keys.loading)
        if counted == record.rows:
            _set_record(client, step, keys, record)
    if counted != record.rows:
        _for_each_slot(client, keys, record.generation, record.slots, "unlink")
        raise LoadLost(
            f"{counted:,} of {record.rows:,} rows of {keys.table!r} are there: was the store emptied?"
        )


def _prolong(client: redis.Redis, keys: FeatureKeys, current: TableRecord, record: TableRecord) -> None:
    """Give a table that is there another time to live, unless it is replaced at this moment."""
    with client.pipeline(transaction=True) as step:
        step.watch(keys.record)  # type: ignore[no-untyped-call]
        if read_record(step, keys) != current:
            raise _lost(keys)
        step.multi()
        _set_record(client, step, keys, record)
        _execute(step, keys)
    _retire_previous(client, keys, current)


def _set_record(
    client: redis.Redis, step: redis.client.Pipeline, keys: FeatureKeys, record: TableRecord
) -> None:
    """Within a transaction. The rows outlive their record a little: no reader finds one without the other."""
    with _of_all_slots(client, step) as rows_step:
        for slot in range(record.slots):
            name = keys.rows(record.generation, slot)
            if record.expires_at_ms is None:
                rows_step.persist(name)
            else:
                rows_step.pexpireat(name, record.expires_at_ms + GRACE_MS)
    step.set(keys.record, encode_record(record), pxat=record.expires_at_ms)


@contextmanager
def _of_all_slots(client: redis.Redis, step: redis.client.Pipeline) -> Iterator[redis.client.Pipeline]:
    """For commands on rows within a transaction on the table's marker or record.

    On a cluster they are on other slots: they are carried out before the transaction, each for itself. If
    that then does not happen, they were for a generation that nobody reads, which expires; only the record
    makes one be read.
    """
    if not is_cluster(client):
        yield step
        return
    apart = client.pipeline(transaction=False)
    yield apart
    apart.execute()


def _retire_previous(client: redis.Redis, keys: FeatureKeys, record: TableRecord | None) -> None:
    """End the generation that ``record`` replaced, when nobody can be looking at it any more."""
    if record is not None and record.previous is not None:
        _for_each_slot(client, keys, record.previous, record.previous_slots, "pexpire", GRACE_MS)


def _count(client: redis.Redis, keys: FeatureKeys, generation: str, slots: int) -> int:
    return sum(_for_each_slot(client, keys, generation, slots, "hlen"))


def _for_each_slot(
    client: redis.Redis, keys: FeatureKeys, generation: str, slots: int, command: str, *arguments: int
) -> list[int]:
    """``command`` on the rows of every slot, in one round trip."""
    pipeline = client.pipeline(transaction=False)
    for slot in range(slots):
        getattr(pipeline, command)(keys.rows(generation, slot), *arguments)
    replies: list[int] = pipeline.execute()
    return replies


@contextmanager
def _as_owner(client: redis.Redis, keys: FeatureKeys, owner: str) -> Iterator[redis.client.Pipeline]:
    """A transaction that happens only while the load is ours.

    Raises:
        LoadLost: it is another's.
    """
    with client.pipeline(transaction=True) as step:
        step.watch(keys.loading)  # type: ignore[no-untyped-call]
        if _hmget(step, keys.loading, "owner") != [owner]:
            raise _lost(keys)
        step.multi()
        yield step
        _execute(step, keys)


def _execute(step: redis.client.Pipeline, keys: FeatureKeys) -> None:
    try:
        step.execute()
    except WatchError:
        raise _lost(keys) from None


def _lost(keys: FeatureKeys) -> LoadLost:
    return LoadLost(f"another load of {keys.table!r} began meanwhile; this one is given up")


def _hmget(client: redis.Redis, name: str, *fields: str) -> list[str]:
    replies: Any = client.hmget(name, fields)
    return [(reply or b"").decode() for reply in replies]
