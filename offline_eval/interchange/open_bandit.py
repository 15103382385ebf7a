"""The Open Bandit Dataset's CSV as a log: an impression a row, the position on the page as its slot."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from offline_eval.errors import BadInput
from offline_eval.interchange.checking import Imported
from offline_eval.interchange.frames import Columns, import_frame

NEEDED = ("timestamp", "item_id", "position", "click", "propensity_score")
_TIME = "%Y-%m-%d %H:%M:%S%.f%:z"


def import_open_bandit(file: Path, folder: Path, policy: str = "random") -> Imported:
    """Write a campaign's CSV as a log.

    Args:
        file: such as ``bts/men/men.csv``.
        folder: of the new log.
        policy: who logged.

    Raises:
        BadInput: it is no such CSV, or the folder is not new.
    """
    frame = open_bandit_frame(file)
    features = tuple(name for name in frame.columns if name.startswith("user_feature_"))
    columns = Columns(
        arm="item_id", propensity="propensity_score", reward="click", slot="position", time="timestamp",
        policy="policy", context=features,
    )  # fmt: skip
    return import_frame(frame.with_columns(policy=pl.lit(policy)), folder, columns)


def open_bandit_frame(file: Path) -> pl.DataFrame:
    """The impressions, oldest first; positions from 0.

    Raises:
        BadInput: it is no such CSV.
    """
    try:
        frame = pl.read_csv(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: {str(error).splitlines()[0]}") from error
    if missing := [name for name in NEEDED if name not in frame.columns]:
        raise BadInput(f"{file} is no log of the Open Bandit Dataset: column {missing[0]!r} is missing")
    try:
        moments = pl.col("timestamp").str.to_datetime(_TIME, time_unit="us", time_zone="UTC")
        return frame.with_columns(moments, pl.col("position") - 1).sort("timestamp", maintain_order=True)
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{file}: {str(error).splitlines()[0]}") from error
