"""The weights that some candidates need: from files, or from an application's store."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from offline_eval.errors import BadCandidate
from sidecar.contracts import keys
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.weights import Weights, decode_weights

if TYPE_CHECKING:
    from sidecar.contracts.store import Client

_STORE_SCHEMES = ("redis://", "rediss://", "redis+cluster://", "rediss+cluster://", "unix://")


def weights_by_name(where: str, app: str) -> Callable[[str], Weights]:
    """Weights by a version's number, from the store that ``where`` names, or by a file's name."""

    @cache
    def read(name: str) -> Weights:
        if not name.isdecimal():
            return read_weights(name, app)
        if not where.startswith(_STORE_SCHEMES):
            raise BadCandidate(f"version {name} is looked for in a store: --weights must be its URL")
        return read_weights(where, app, int(name))

    return read


def read_weights(where: str, app: str, version: int = 0) -> Weights:
    """Weights from a record's file or from a store.

    Args:
        where: a weights file, or a store's URL.
        app: the application.
        version: from a store, one that it keeps; 0: those that the application serves now.

    Raises:
        BadCandidate: nothing is named, or nothing is there.
        BadWeights: what is there is no weights record.
    """
    if not where:
        raise BadCandidate(
            "models that score need --weights: a weights file, or a store's URL (redis://, unix://)"
        )
    try:
        if where.startswith(_STORE_SCHEMES):
            return _from_store(where, app, version)
        return decode_weights(_from_file(Path(where)))
    except BadWeights as error:
        raise BadWeights(f"--weights {where}: {error}") from error


def _from_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCandidate(f"--weights {path} cannot be read: {error.strerror}") from error


def _from_store(url: str, app: str, version: int) -> Weights:
    # Here and not above: most evaluations need no store.
    import redis

    from sidecar.contracts.deltas import read_newest
    from sidecar.contracts.store import connect

    try:
        client = connect(url)
        if version:
            return _kept(client, app, version)
        newest = read_newest(client, app)
    except BadWeights:
        raise
    except (redis.RedisError, ValueError) as error:
        raise BadCandidate(f"--weights {url}: the store does not answer: {error}") from error
    if newest is None:
        raise BadCandidate(f"--weights {url}: application {app!r} has published no weights there")
    return newest.weights


def _kept(client: Client, app: str, version: int) -> Weights:
    for place in (keys.model_records(app), keys.deployed(app)):
        record = cast("bytes | None", client.hget(place, str(version)))
        if record is not None:
            return decode_weights(record)
    raise BadCandidate(
        f"version {version} of {app!r} is not kept in the store:"
        f" `sidearm rebuild --version {version} --out FILE` makes its file, for @FILE"
    )
