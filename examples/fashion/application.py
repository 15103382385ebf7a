"""The fashion application's folder: its ``app.toml``, and the arms as the data set describes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import polars as pl

from sidecar.contracts.application import Application, Features, load_application
from sidecar.contracts.catalogue import Catalogue, load_catalogue

_TEMPLATE = Path(__file__).parent / "app.toml"
_CATEGORIES = ("item_feature_1", "item_feature_2", "item_feature_3")


def folder_in(data: Path) -> Path:
    """Where the application lies in a data folder."""
    return data / "apps" / "fashion"


def write_application(data: Path, items: pl.DataFrame) -> Path:
    """Make the folder, with one arm an item; its path. Writing the same items again changes nothing."""
    folder = folder_in(data)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_TEMPLATE, folder / "app.toml")
    arms = [{"id": arm_id(row["item_id"]), "features": _features(row)} for row in items.to_dicts()]
    (folder / "arms.json").write_bytes(msgspec.json.format(msgspec.json.encode(arms), indent=1))
    return folder


def load(folder: Path) -> tuple[Application, Catalogue]:
    """The application and its arms.

    Raises:
        BadApplication: the folder cannot be used.
    """
    application = load_application(folder)
    return application, load_catalogue(folder, application)


def arm_id(item_id: int) -> str:
    """An item as an arm.

    >>> arm_id(7)
    'item-07'
    """
    return f"item-{item_id:02d}"


def _features(row: dict[str, object]) -> Features:
    """Hashed categories as text, the one number as it is."""
    return {
        "item_feature_0": float(str(row["item_feature_0"])),
        **{name: str(row[name]) for name in _CATEGORIES},
    }
