"""A file as a source of features: look-ups, changes of the file, and what is refused."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from msgspec import Struct

from decision_service.sources.errors import BadAnswer, BadKey, BadSource, BadTable, RowMissing
from decision_service.sources.table import open_table
from decision_service.sources.trial import survive
from tests.waiting import until


class Product(Struct):
    price: float
    brand: str = ""


def write(path: Path, frame: pl.DataFrame) -> Path:
    """As everybody should: beside it, and renamed."""
    beside = path.with_suffix(".tmp")
    if path.suffix == ".parquet":
        frame.write_parquet(beside)
    else:
        frame.write_ipc(beside)
    beside.replace(path)
    return path


def products(n: int, price: float = 1.0) -> pl.DataFrame:
    return pl.DataFrame({"sku": [f"é{i}-ß" for i in range(n)], "price": [price + i for i in range(n)]})


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
async def test_every_row_is_found_under_its_key_and_nothing_else_is(tmp_path, suffix):
    """However the keys sort."""
    path = write(tmp_path / f"p{suffix}", products(1000))
    async with open_table(path, key="sku", kind=Product) as table:
        assert [(await table.get(f"é{i}-ß")).price for i in range(1000)] == [1.0 + i for i in range(1000)]
        for key in ("", "é", "é999-ß ", "zzz", "\U0010ffff"):
            with pytest.raises(RowMissing):
                await table.get(key)
        assert await table.many(["é1-ß", "x"]) == {"é1-ß": Product(2.0)}
        assert table.rows == 1000
        assert table.size_bytes > 8000


async def test_keys_of_several_columns_and_of_numbers(tmp_path):
    """A number and its text are one key."""
    frame = pl.DataFrame({"a": [1, 1, 10], "b": ["x", "y", "x"], "price": [1.0, 2.0, 3.0]})
    path = write(tmp_path / "p.parquet", frame)
    async with open_table(path, key=["a", "b"], kind=Product) as table:
        assert await table.get((1, "y")) == await table.get(("1", "y")) == Product(2.0)
        with pytest.raises(BadKey, match="2 parts"):
            await table.get("1")


async def test_a_row_that_is_not_of_the_type_is_an_error(tmp_path):
    """A null where a number is needed, as in any file."""
    path = write(
        tmp_path / "p.parquet", pl.DataFrame({"sku": ["a"], "price": pl.Series([None], dtype=pl.Float64)})
    )
    async with open_table(path, key="sku", kind=Product) as table:
        with pytest.raises(BadAnswer, match=r"p\.parquet is no Product.*price"):
            await table.get("a")
    async with open_table(path, key="sku", kind=dict) as table:
        assert await table.get("a") == {"sku": "a", "price": None}


async def test_a_changed_file_is_read_anew_while_the_old_rows_are_served(tmp_path):
    """Without anybody asking for it."""
    path = write(tmp_path / "p.parquet", products(10))
    async with open_table(path, key="sku", kind=Product, check_every_s=0.01) as table:
        write(path, products(20, price=5.0))
        await asyncio.to_thread(until, lambda: table.rows == 20)
        assert (await table.get("é0-ß")).price == 5.0


async def test_a_file_that_cannot_be_read_leaves_the_rows_and_is_told_once(tmp_path, caplog):
    """Half written, without its key, gone; the next good one is taken."""
    path = write(tmp_path / "p.parquet", products(10))
    async with open_table(path, key="sku", kind=Product, check_every_s=None) as table:
        assert not await table.refresh()
        path.write_bytes(path.read_bytes()[:200])
        assert not await table.refresh()
        assert not await table.refresh()
        assert caplog.text.count("the 10 rows read before stay") == 1
        write(path, pl.DataFrame({"other": [1]}))
        assert not await table.refresh()
        assert "no column 'sku'" in caplog.text
        path.unlink()
        assert not await table.refresh()
        assert not await table.refresh()
        assert caplog.text.count("No such file") == 1
        assert (await table.get("é3-ß")).price == 4.0
        write(path, products(11))
        assert await table.refresh()
        assert table.rows == 11


async def test_a_damaged_file_does_not_end_the_service(tmp_path, caplog):
    """Polars aborts the process that reads some; what can be read is not for us to judge."""
    path = write(tmp_path / "p.parquet", products(50))
    good = path.read_bytes()
    rng = random.Random(1)
    async with open_table(path, key="sku", kind=Product, check_every_s=None) as table:
        for _ in range(3):
            damaged = bytearray(good)
            for place in rng.sample(range(4, len(good) - 8), 40):
                damaged[place] = rng.randrange(256)
            path.write_bytes(damaged)
            await table.refresh()
            assert table.rows


def test_what_ends_its_reader_is_told(tmp_path, monkeypatch):
    """With the first line that it said."""
    aborting = tmp_path / "python"
    aborting.write_text("#!/bin/sh\necho memory allocation failed >&2\nkill -ABRT $$\n")
    aborting.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(aborting))
    with pytest.raises(BadTable, match=r"damaged.*-6: memory allocation failed"):
        survive(b"", tmp_path / "x.parquet")


async def test_a_file_overwritten_in_place_does_not_reach_the_rows_in_memory(tmp_path):
    """Nothing of it is mapped."""
    path = write(tmp_path / "p.arrow", products(1000))
    async with open_table(path, key="sku", kind=Product, check_every_s=None) as table:
        with path.open("r+b") as file:
            file.write(os.urandom(path.stat().st_size))
        assert (await table.get("é500-ß")).price == 501.0


async def test_rows_that_take_too_much_memory_are_refused(tmp_path):
    """At the start; later the old ones stay."""
    path = write(tmp_path / "p.parquet", products(1000))
    with pytest.raises(BadTable, match="at most 1,000 are allowed"):
        async with open_table(path, key="sku", kind=Product, max_bytes=1000):
            pass


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"sku": ["a", "a"], "price": [1.0, 2.0]}, "repeat a key"),
        ({"sku": ["a", None], "price": [1.0, 2.0]}, "have no 'sku'"),
        ({"price": [1.0]}, "no column 'sku'"),
    ],
)
async def test_a_file_that_is_no_such_table_is_refused(tmp_path, frame, message):
    """With its columns and rows."""
    path = write(tmp_path / "p.parquet", pl.DataFrame(frame))
    with pytest.raises(BadTable, match=message):
        async with open_table(path, key="sku", kind=Product):
            pass


async def test_what_is_no_file_or_no_limit_is_refused(tmp_path):
    """At the start."""
    with pytest.raises(BadTable, match="No such file"):
        async with open_table(tmp_path / "absent.parquet", key="sku", kind=Product):
            pass
    path = write(tmp_path / "p.parquet", products(1))
    for options in ({"max_bytes": 0}, {"check_every_s": 0.0}):
        with pytest.raises(BadSource, match="above 0"):
            async with open_table(path, key="sku", kind=Product, **options):
                pass


def test_the_service_needs_no_polars_until_a_file_is_read(tmp_path):
    """Its image need not hold it; who reads a file without it is told what to install."""
    path = write(tmp_path / "p.parquet", products(1))
    script = f"""
import sys, asyncio
from pathlib import Path
import decision_service.sources.http, decision_service.sources.store, decision_service.sources.constant
import decision_service.cli.features
from decision_service.sources.table import open_table
from decision_service.sources.errors import BadSource
assert not {{"polars", "pyarrow"}} & set(sys.modules), sys.modules
sys.modules["polars"] = None
async def main():
    async with open_table(Path({str(path)!r}), key="sku", kind=dict):
        pass
try:
    asyncio.run(main())
except BadSource as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "sidearm[tables]" in done.stdout, done.stderr
