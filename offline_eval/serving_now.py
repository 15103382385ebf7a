"""What serves an application just now, read from its store: catalogue, exploration, weights, base model."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec

from offline_eval.bulk_scoring import Scoring
from offline_eval.errors import BadInput
from sidecar.contracts import keys
from sidecar.contracts.application import Application, Exploration
from sidecar.contracts.catalogue import Catalogue, decode_arms, load_catalogue
from sidecar.contracts.deltas import read_newest
from sidecar.contracts.exploring_store import read_exploring
from sidecar.contracts.roster import LIVE, Model
from sidecar.contracts.rostering import read_roster
from sidecar.contracts.scripts.catalogue import decode_arms_now
from sidecar.contracts.store import Client
from sidecar.contracts.weights import Weights, decode_weights
from sidecar.policy.base import BaseModel


def scoring_now(client: Client, folder: Path, application: Application, name: str = "") -> Scoring:
    """What would score a decision that was made now, outside of every segment.

    Args:
        client: of the store.
        folder: the application's.
        application: which.
        name: one of its deployed models; empty: the champion.

    Raises:
        BadApplication: the store knows no catalogue, and the application's file cannot be read.
        BadInput: something in the store is named, and is not there.
        BadModel: no model has that name.
        BadWeights: a record is damaged.
        StoreError: the store failed.
    """
    roster = read_roster(client, application.name)
    model = roster.named(name) if name else roster.champion
    if model.role == "decoy" or model.container:
        what = "is a decoy, and scores nothing" if model.role == "decoy" else f"lives in {model.container!r}"
        raise BadInput(f"model {model.name!r} {what}: legal are models that the sidecar scores with")
    return Scoring(
        _catalogue(client, folder, application),
        _exploration(client, application, model),
        _weights(client, application.name, model.version),
        _base(client, application),
    )


def _catalogue(client: Client, folder: Path, application: Application) -> Catalogue:
    """The current one; before any service ran, the file's."""
    fields = cast("dict[bytes, bytes]", client.hgetall(keys.arms_now(application.name)))
    now = decode_arms_now(fields)
    if now is None:
        return load_catalogue(folder, application)
    stored = cast("bytes | None", client.hget(keys.catalogues(application.name), now.version))
    if stored is None:
        raise BadInput(f"catalogue {now.version} is current, but its arms are not in the store")
    return Catalogue(now.version, decode_arms(stored))


def _exploration(client: Client, application: Application, model: Model) -> Exploration:
    """The model's own, but for the control share, which is the decision's."""
    asked = read_exploring(client, application.name).everywhere or application.exploration
    decisions = asked.as_logged()
    if model.exploration is None:
        return decisions
    return msgspec.structs.replace(model.exploration, control_share=decisions.control_share)


def _weights(client: Client, app: str, version: int) -> Weights | None:
    """Of a fixed version; else the pinned one, else the newest; None before the first."""
    if version != LIVE:
        deployed = cast("bytes | None", client.hget(keys.deployed(app), str(version)))
        if deployed is None:
            raise BadInput(f"version {version} is deployed, but its record is not in the store")
        return decode_weights(deployed)
    pinned = cast("bytes | None", client.hget(keys.pin(app), "version"))
    if pinned is None:
        newest = read_newest(client, app)
        return newest.weights if newest else None
    record = cast("bytes | None", client.hget(keys.model_records(app), pinned.decode()))
    if record is None:
        raise BadInput(f"version {pinned.decode()} is pinned, but its record is not in the store")
    return decode_weights(record)


def _base(client: Client, application: Application) -> BaseModel | None:
    if application.model.base is None:
        return None
    name, record = cast(
        "list[bytes | None]", client.hmget(keys.base_model(application.name), "name", "record")
    )
    if name is None or record is None:
        return None
    return BaseModel(name.decode(), application.model.base.feature, decode_weights(record))
