"""The arms of an application at one moment, named by their content."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sidecar.contracts.application import Application, Arm, ArmId
from sidecar.contracts.errors import BadApplication

MOST_ARMS = 5_000
"""Of a catalogue, and of a request."""


class Catalogue(Struct, frozen=True):
    """The arms of one application at one moment; its version is a digest of its content.

    Two processes that hold the same arms thus agree on the version without talking to each other.
    """

    version: str
    arms: tuple[Arm, ...]

    def by_id(self) -> dict[str, Arm]:
        """Arm id to arm."""
        return {arm.id: arm for arm in self.arms}


def catalogue_of(arms: tuple[Arm, ...]) -> Catalogue:
    """Name the arms by their content.

    >>> catalogue_of((Arm("sku-1", {"price": 2.5}), Arm("sku-2"))).version
    'bd82e1e38bed3703'
    """
    return Catalogue(hashlib.sha256(encode_arms(arms)).hexdigest()[:16], arms)


def encode_arms(arms: tuple[Arm, ...]) -> bytes:
    """The arms as canonical JSON: what the version is a digest of, and what is stored under it."""
    return msgspec.json.encode([[arm.id, dict(sorted(arm.features.items()))] for arm in arms])


def decode_arms(data: bytes) -> tuple[Arm, ...]:
    """The arms from what :func:`encode_arms` wrote."""
    return msgspec.json.decode(data, type=tuple[Arm, ...])


def load_catalogue(folder: Path, application: Application) -> Catalogue:
    """Read the arms that the application names.

    Raises:
        BadApplication: no such file, no JSON, no arms, too many, or an id that stands twice.
    """
    path = folder / application.arms
    try:
        listed = msgspec.json.decode(path.read_bytes(), type=list[_ArmInFile])
    except FileNotFoundError:
        raise BadApplication(f"{path} does not exist: `arms` in app.toml names the file of arms") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadApplication(f'{path}: {error}; an arm is {{"id": "…", "features": {{…}}}}') from error
    if not listed:
        raise BadApplication(f"{path} lists no arm: at least one is needed")
    if len(listed) > MOST_ARMS:
        raise BadApplication(f"{path} lists {len(listed):,} arms: at most {MOST_ARMS:,} are legal")
    counts = Counter(arm.id for arm in listed)
    if twice := next((arm_id for arm_id, count in counts.items() if count > 1), None):
        raise BadApplication(f"{path} lists arm {twice!r} twice: ids must differ")
    return catalogue_of(tuple(Arm(arm.id, arm.features) for arm in listed))


_InFile = Annotated[float, Meta(ge=-1e9, le=1e9)]  # beyond it scoring refuses: of the whole catalogue


class _ArmInFile(Struct, frozen=True, forbid_unknown_fields=True):
    id: ArmId
    features: dict[str, str | _InFile | bool] = {}
