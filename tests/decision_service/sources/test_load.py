"""Loading a table into the real store: all of it or nothing, resumed, replaced, and what is refused."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
import redis

from decision_service.sources import load as module
from decision_service.sources.errors import BadSource, BadTable
from decision_service.sources.load import LoadLost, load, prepare, read_record
from sidecar.contracts.feature_table import GRACE_MS, TableRecord, decode_row, slot_of
from sidecar.contracts.keys import FeatureKeys

KEYS = FeatureKeys("shop", "customers")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def parquet(folder: Path, frame: pl.DataFrame, name: str = "customers.parquet") -> Path:
    frame.write_parquet(folder / name)
    return folder / name


def customers(n: int, segment: str = "new") -> pl.DataFrame:
    ids = [f"c-{i}" for i in range(n)]
    return pl.DataFrame({"id": ids, "segment": [segment] * n, "orders": list(range(n))})


def rows_of(store: redis.Redis, record: TableRecord) -> dict[str, dict[str, object]]:
    """All of a generation, each row in the slot where it belongs."""
    found = {}
    for slot in range(record.slots):
        for key, data in store.hgetall(KEYS.rows(record.generation, slot)).items():
            assert slot_of(key.decode(), record.slots) == slot
            found[key.decode()] = decode_row(record, data)
    return found


@pytest.mark.parametrize("slots", [None, 1, 7])
def test_every_row_is_in_the_store_under_its_key(store, tmp_path, slots):
    """And the record tells what there is to know."""
    told = []
    prepared = prepare(parquet(tmp_path, customers(5000)), KEYS, ["id"], slots)
    loaded = load(store, prepared, "me", now_ms(), progress=told.append)

    record = read_record(store, KEYS)
    assert record == loaded.record
    assert (record.rows, record.key, record.slots) == (5000, ("id",), slots or 1)
    assert [(c.name, c.type) for c in record.columns] == [
        ("id", "String"),
        ("segment", "String"),
        ("orders", "Int64"),
    ]
    found = rows_of(store, record)
    assert len(found) == 5000
    assert found["c-17"] == {"id": "c-17", "segment": "new", "orders": 17}
    assert told == [0, 2000, 4000, 5000]
    assert not store.exists(KEYS.loading)
    assert store.ttl(KEYS.record) == -1
    assert {store.ttl(KEYS.rows(record.generation, slot)) for slot in range(record.slots)} == {-1}


def test_all_types_of_features_come_through(store, tmp_path):
    """As plain JSON would hold them; categories as text."""
    frame = pl.DataFrame(
        {
            "id": [1, -2],
            "flag": [True, None],
            "x": [0.5, None],
            "day": [date(2024, 1, 2), None],
            "at": [datetime(2024, 1, 2, 3, 4, tzinfo=UTC), None],
            "tags": [["a", "b"], None],
            "nothing": [None, None],
        }
    ).with_columns(kind=pl.Series(["a", "b"], dtype=pl.Categorical), small=pl.Series([1, 2], dtype=pl.UInt8))
    load(store, prepare(parquet(tmp_path, frame), KEYS, ["id"]), "me", now_ms())
    record = read_record(store, KEYS)
    found = rows_of(store, record)
    assert found["-2"] == {
        **dict.fromkeys(["flag", "x", "day", "at", "tags", "nothing"]),
        "id": -2,
        "kind": "b",
        "small": 2,
    }
    assert found["1"] == {
        "id": 1,
        "flag": True,
        "x": 0.5,
        "day": "2024-01-02",
        "at": datetime(2024, 1, 2, 3, 4, tzinfo=UTC),
        "tags": ["a", "b"],
        "nothing": None,
        "kind": "a",
        "small": 1,
    }


def test_an_arrow_file_and_a_key_of_two_columns(store, tmp_path):
    """The key is both, in the order in which they were named."""
    frame = pl.DataFrame({"country": ["de", "at"], "n": [17, 7], "x": [1.0, 2.0]})
    frame.write_ipc(tmp_path / "t.arrow")
    load(store, prepare(tmp_path / "t.arrow", KEYS, ["n", "country"]), "me", now_ms())
    assert set(rows_of(store, read_record(store, KEYS))) == {"2:172:de", "1:72:at"}


def test_the_same_file_is_not_written_again_but_lives_as_long_as_it_is_told(store, tmp_path):
    """A job that runs every hour costs nothing, and keeps its table alive."""
    prepared = prepare(parquet(tmp_path, customers(10)), KEYS, ["id"])
    first = load(store, prepared, "a", now_ms(), ttl_ms=60_000)
    again = load(store, prepared, "b", now_ms() + 5, ttl_ms=600_000)
    assert (again.written, again.record.generation) == (0, first.record.generation)
    rows = KEYS.rows(first.record.generation, 0)
    assert store.pexpiretime(KEYS.record) == again.record.expires_at_ms
    assert store.pexpiretime(rows) == again.record.expires_at_ms + GRACE_MS
    load(store, prepared, "c", now_ms())
    assert store.ttl(KEYS.record) == store.ttl(rows) == -1
    forced = load(store, prepared, "d", now_ms() + 9, again=True)
    assert forced.written == 10
    assert forced.record.generation != first.record.generation


def test_a_new_file_replaces_the_old_one_whose_rows_stay_for_a_moment(store, tmp_path):
    """Who still reads the old generation must find it."""
    old = load(store, prepare(parquet(tmp_path, customers(10)), KEYS, ["id"]), "a", now_ms()).record
    new = load(store, prepare(parquet(tmp_path, customers(3, "old")), KEYS, ["id"]), "b", now_ms()).record
    assert read_record(store, KEYS) == new
    assert len(rows_of(store, old)) == 10
    assert 0 < store.pttl(KEYS.rows(old.generation, 0)) <= GRACE_MS
    assert new.previous == old.generation


def test_readers_see_the_old_table_until_the_last_step(store, tmp_path):
    """At every batch of the new one."""
    old = load(store, prepare(parquet(tmp_path, customers(10)), KEYS, ["id"]), "a", now_ms()).record
    seen = []
    prepared = prepare(parquet(tmp_path, customers(5000, "x")), KEYS, ["id"])
    load(store, prepared, "b", now_ms(), progress=lambda rows: seen.append(read_record(store, KEYS)))
    assert seen == [old] * 4
    assert read_record(store, KEYS).rows == 5000


class Stopped(Exception):
    pass


def stop_at(rows: int):
    def progress(done: int) -> None:
        if done == rows:
            raise Stopped

    return progress


def test_a_load_that_stopped_goes_on_where_it_was(store, tmp_path):
    """With the same file; what is written so far is invisible and does not stay for ever."""
    prepared = prepare(parquet(tmp_path, customers(5000)), KEYS, ["id"], 3)
    with pytest.raises(Stopped):
        load(store, prepared, "a", now_ms(), progress=stop_at(4000))
    assert read_record(store, KEYS) is None
    generation = store.hget(KEYS.loading, "generation").decode()
    assert all(store.pttl(KEYS.rows(generation, slot)) > 0 for slot in range(3))

    loaded = load(store, prepared, "b", now_ms())
    assert (loaded.written, loaded.resumed, loaded.record.generation) == (1000, 4000, generation)
    assert len(rows_of(store, loaded.record)) == 5000


def test_another_file_or_lost_rows_begin_anew(store, tmp_path):
    """And what the stopped load left is gone."""
    first = prepare(parquet(tmp_path, customers(5000)), KEYS, ["id"])
    with pytest.raises(Stopped):
        load(store, first, "a", now_ms(), progress=stop_at(2000))
    left = store.hget(KEYS.loading, "generation").decode()
    other = load(store, prepare(parquet(tmp_path, customers(9, "b")), KEYS, ["id"]), "b", now_ms())
    assert (other.written, other.resumed) == (9, 0)
    assert not store.exists(KEYS.rows(left, 0))

    with pytest.raises(Stopped):
        load(store, first, "c", now_ms(), progress=stop_at(2000))
    store.delete(KEYS.rows(store.hget(KEYS.loading, "generation").decode(), 0))
    whole = load(store, first, "d", now_ms())
    assert (whole.written, whole.resumed) == (5000, 0)


@pytest.mark.parametrize("same_file", [True, False])
def test_of_two_loads_the_one_that_began_last_wins_and_the_other_is_told(store, tmp_path, same_file):
    """Its table is whole, and nothing of the other's is in it."""
    mine = prepare(parquet(tmp_path, customers(5000)), KEYS, ["id"])
    theirs = mine if same_file else prepare(parquet(tmp_path, customers(4000, "x")), KEYS, ["id"])

    def interfere(done: int) -> None:
        if done == 2000:
            load(store, theirs, "theirs", now_ms())

    with pytest.raises(LoadLost, match="customers"):
        load(store, mine, "mine", now_ms(), progress=interfere)
    record = read_record(store, KEYS)
    assert len(rows_of(store, record)) == record.rows == theirs.frame.height
    assert store.ttl(KEYS.rows(record.generation, 0)) == -1
    assert len(list(store.scan_iter("*rows*"))) == 1


def test_a_table_is_not_shown_when_rows_went_away(store, tmp_path):
    """Somebody emptied the store in mid-load: the old table, if there is one, stays."""
    prepared = prepare(parquet(tmp_path, customers(3000)), KEYS, ["id"], 2)

    def empty(done: int) -> None:
        if done == 2000:
            store.delete(KEYS.rows(store.hget(KEYS.loading, "generation").decode(), 1))

    with pytest.raises(LoadLost, match="of 3,000 rows"):
        load(store, prepared, "a", now_ms(), progress=empty)
    assert read_record(store, KEYS) is None
    assert not list(store.scan_iter("*"))


def test_a_table_ends_with_its_time_to_live(store, tmp_path):
    """Record first, rows a little later: nobody finds the one without the other."""
    record = load(
        store, prepare(parquet(tmp_path, customers(3)), KEYS, ["id"]), "a", now_ms(), ttl_ms=1
    ).record
    while store.exists(KEYS.record):
        time.sleep(0.001)
    assert store.exists(KEYS.rows(record.generation, 0))
    assert read_record(store, KEYS) is None


@pytest.mark.parametrize(
    ("columns", "key", "message"),
    [
        ({"id": ["a"]}, ["ids"], r"no column 'ids'; nearest: 'id'; there are: id"),
        ({"id": ["a"]}, [], r"name one key column"),
        ({"id": ["a"]}, ["id", "id"], r"name one key column"),
        ({"id": ["a", None, "b", None]}, ["id"], r"2 rows have no 'id', the first rows 1, 3"),
        ({"id": ["a", "b", "a", "a"]}, ["id"], r"2 rows repeat a key in 'id', such as 'a'"),
        (
            {"id": ["a", "a"], "n": [1, 1]},
            ["id", "n"],
            r"1 rows repeat a key in 'id', 'n', such as \('a', 1\)",
        ),
        ({"id": [1.5]}, ["id"], r"key column 'id' is Float64; legal: text or whole numbers"),
        ({"id": [True]}, ["id"], r"key column 'id' is Boolean"),
        ({"id": ["a"], "b": [b"x"], "s": [{"x": 1}]}, ["id"], r"'b' \(Binary\), 's' \(Struct"),
        ({"id": ["x" * 1025]}, ["id"], r"a key of 1025 bytes"),
        ({"id": pl.Series([], dtype=pl.String)}, ["id"], r"has no rows"),
        ({"id": ["a"], "__key__": ["a"]}, ["id"], r"'__key__' is taken"),
    ],
)
def test_a_table_that_cannot_be_one_is_refused_with_columns_and_rows(tmp_path, columns, key, message):
    """Before anything is asked of the store."""
    with pytest.raises(BadTable, match=message):
        prepare(parquet(tmp_path, pl.DataFrame(columns)), KEYS, key)


def test_a_file_that_is_none_is_refused(tmp_path):
    """By name, by content, by absence."""
    (tmp_path / "x.parquet").write_bytes(b"PAR1 this is no parquet PAR1")
    (tmp_path / "x.arrow").write_bytes(b"")
    (tmp_path / "x.csv").write_text("id\na")
    for name in ("x.parquet", "x.arrow", "x.csv", "absent.parquet", ".parquet"):
        with pytest.raises(BadTable, match=str(tmp_path / name)):
            prepare(tmp_path / name, KEYS, ["id"])


@pytest.mark.parametrize("name", ["", "A", "a-b", "a.b", "a}b", "a:b", "1a", "x" * 64])
def test_a_name_that_would_break_a_key_is_refused(tmp_path, name):
    """Names are part of keys in the store."""
    with pytest.raises(BadSource, match="no name of a table"):
        prepare(parquet(tmp_path, customers(1)), FeatureKeys("shop", name), ["id"])


def test_a_row_that_is_too_long_is_refused(store, tmp_path, monkeypatch):
    """And nothing is shown."""
    monkeypatch.setattr(module, "MAX_ROW_BYTES", 100)
    frame = pl.DataFrame({"id": ["a"], "text": ["x" * 200]})
    with pytest.raises(BadTable, match=r"'a' is 20. bytes long"):
        load(store, prepare(parquet(tmp_path, frame), KEYS, ["id"]), "a", now_ms())
    assert read_record(store, KEYS) is None
