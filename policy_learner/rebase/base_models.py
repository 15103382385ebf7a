"""Base models: where they are put for the sidecars to find, and kept for the replay.

The record lies in the log before the store names it, so that whatever was decided with it can be scored
again: ``log/<app>/models/base-<name>.bin``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

import redis

from policy_learner.models.checkpoint import write_whole
from sidecar.contracts import keys
from sidecar.contracts.application import Application
from sidecar.contracts.base_model import name_of
from sidecar.contracts.errors import BadModel, BadWeights
from sidecar.contracts.hashing import ARM_SEED, mask_of, name_hash
from sidecar.contracts.weights import Weights, decode_weights

_NOTICES_KEPT = 1000


class Installed(NamedTuple):
    """The base model that the store names."""

    name: str
    note: str
    """Where it came from."""


class BaseModels:
    """The records of base models in the log of an application.

    Args:
        log: root of the application's datasets.
    """

    def __init__(self, log: Path) -> None:
        self._folder = log / "models"

    def add(self, record: bytes) -> str:
        """Write a record; its name. The same one again is one file.

        Raises:
            OSError: the disk is full or away.
        """
        name = name_of(record)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(name), record)
        return name

    def read(self, name: str) -> Weights | None:
        """A base model; None when there is none of that name.

        Raises:
            BadWeights: its file is damaged.
        """
        try:
            record = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        if name_of(record) != name:
            raise BadWeights(f"{self._path(name)} is not what it is named after: cut or altered")
        return decode_weights(record)

    def _path(self, name: str) -> Path:
        return self._folder / f"base-{name}.bin"


def install(client: redis.Redis, application: Application, log: Path, record: bytes, note: str) -> str:
    """Let every sidecar score with this base model from now on; its name.

    Args:
        client: of the store.
        application: whose.
        log: root of its datasets.
        record: the weights record, of any bit width and interactions.
        note: where it came from, for people.

    Raises:
        BadModel: ``app.toml`` has no ``[model.base]``.
        BadWeights: no whole record.
        OSError: the log cannot be written.
    """
    if application.model.base is None:
        raise BadModel("app.toml has no [model.base]: no sidecar would look for a base model")
    decode_weights(record)
    name = BaseModels(log).add(record)
    _put(client, application.name, name, record, note)
    return name


def remove(client: redis.Redis, app: str) -> bool:
    """Let the sidecars score without a base model; whether there was one."""
    pipe = client.pipeline(transaction=True)
    pipe.delete(keys.base_model(app))
    pipe.xadd(keys.model_notices(app), {"base": ""}, maxlen=_NOTICES_KEPT)
    return bool(pipe.execute()[0])


def installed(client: redis.Redis, app: str) -> Installed | None:
    """The base model of now."""
    name, note = cast("list[bytes | None]", client.hmget(keys.base_model(app), ["name", "note"]))
    return None if name is None else Installed(name.decode(), (note or b"").decode())


def has_learnt_from(weights: Weights, feature: str) -> bool:
    """Whether a model has a weight for a base model's score: as a base model it would miss it."""
    place = name_hash(feature, ARM_SEED) & int(mask_of(weights.header.bits))
    return bool(weights.values[place] != 0.0)


def _put(client: redis.Redis, app: str, name: str, record: bytes, note: str) -> None:
    pipe = client.pipeline(transaction=True)
    pipe.hset(keys.base_model(app), mapping={"name": name, "record": record, "note": note})
    pipe.xadd(keys.model_notices(app), {"base": name}, maxlen=_NOTICES_KEPT)
    pipe.execute()
