"""What ``sidearm models`` does: look at the versions that are kept, serve one of them, take one in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import redis

from policy_learner.models.history import read_kept
from policy_learner.models.imported import ImportedModels
from sidecar.contracts import deltas, keys
from sidecar.contracts.application import Application
from sidecar.contracts.errors import BadModel
from sidecar.contracts.models import (
    IMPORTED_FROM,
    Kept,
    Origin,
    Pin,
    Serving,
    decode_serving,
    info_of,
    name_of,
)
from sidecar.contracts.scripts.models import (
    KeepStatus,
    PinStatus,
    forget_call,
    keep_call,
    parse_keep,
    parse_pin,
    pin_call,
)
from sidecar.contracts.store import Scripts
from sidecar.contracts.weights import Weights, decode_weights, encode_weights

SILENT_AFTER_MS = 30_000
"""A sidecar speaks every few seconds: one that has been silent for longer is gone, or cut off."""
_POLL_S = 0.02


class Newest(NamedTuple):
    """The last publication."""

    version: int
    epoch: int
    at_ms: int
    checksum: str


class Shelf(NamedTuple):
    """All versions that can be served, and who serves what."""

    now_ms: int
    """The store's clock."""
    newest: Newest | None
    pin: Pin | None
    kept: list[Kept]
    serving: list[Serving]
    """Sidecars that spoke lately."""


def look(client: redis.Redis, app: str) -> Shelf:
    """Look at everything.

    Raises:
        StoreError: the store is away.
    """
    pipe = client.pipeline(transaction=False)
    pipe.time()
    pipe.get(keys.app_skew(app))
    pipe.hmget(keys.weights(app), "version", "epoch", "clock_ms", "checksum")
    pipe.hmget(keys.pin(app), "version", "clock_ms", "reason")
    pipe.hgetall(keys.serving(app))
    (seconds, micros), skew, newest, pinned, words = pipe.execute()
    now_ms = int(seconds) * 1000 + int(micros) // 1000 + int(skew or 0)
    said = [decode_serving(name, word) for name, word in cast("dict[bytes, bytes]", words).items()]
    return Shelf(
        now_ms,
        _newest(newest),
        None if pinned[0] is None else Pin(int(pinned[0]), int(pinned[1] or 0), (pinned[2] or b"").decode()),
        read_kept(client, app),
        sorted([one for one in said if now_ms - one.at_ms <= SILENT_AFTER_MS], key=lambda one: one.sidecar),
    )


def read_model(client: redis.Redis, app: str, version: int) -> tuple[Weights, bytes]:
    """A version that is kept, or the newest.

    Raises:
        BadModel: it is neither; says what there is.
        BadWeights: its record is damaged.
    """
    record = cast("bytes | None", client.hget(keys.model_records(app), str(version)))
    if record is None:
        newest = read_newest(client, app)
        if newest is None or newest[0].header.version != version:
            raise BadModel(_not_kept(client, app, version))
        return newest
    weights = decode_weights(record)
    if weights.header.version != version:
        raise BadModel(f"what is kept as version {name_of(version)} is version {weights.header.version}")
    return weights, record


def read_newest(client: redis.Redis, app: str) -> tuple[Weights, bytes] | None:
    """The last publication, and its record; None before the first.

    Raises:
        BadWeights: it is damaged.
    """
    newest = deltas.read_newest(client, app)
    return None if newest is None else (newest.weights, encode_weights(newest.weights))


def serve(scripts: Scripts, application: Application, version: int, reason: str) -> None:
    """Let every sidecar serve this version from now on, whatever is published.

    Raises:
        BadModel: it is not kept, or of another model than ``app.toml`` describes.
        BadWeights: its record is damaged: nothing was changed.
    """
    app = application.name
    weights, record = read_model(scripts.client, app, version)
    check_fits(weights, application)
    keep(scripts, application, weights, record, "published")
    if parse_pin(scripts.run(pin_call(app, version, reason))) is PinStatus.UNKNOWN:
        raise BadModel(_not_kept(scripts.client, app, version))


def resume(scripts: Scripts, app: str, reason: str) -> bool:
    """Let every sidecar serve the newest version again; whether one was pinned."""
    return parse_pin(scripts.run(pin_call(app, None, reason))) is PinStatus.OK


def keep(
    scripts: Scripts,
    application: Application,
    weights: Weights,
    record: bytes,
    origin: Origin,
    note: str = "",
) -> bool:
    """Put a version on the shelf; False when another is there under its number."""
    info = info_of(weights, len(record), hashlib.sha256(record).hexdigest(), origin, note=note)
    if parse_keep(scripts.run(keep_call(application.name, info, record))) is KeepStatus.OK:
        return True
    stored = scripts.client.hget(keys.model_records(application.name), str(info.version))
    return stored == record


def take_in(
    scripts: Scripts, application: Application, imported: ImportedModels, record: bytes, note: str
) -> int:
    """Put a model from elsewhere on the shelf, under a number of its own; the same one again has the same.

    Its record goes into the log first: a decision that it makes can be replayed as long as the log is there.

    Returns:
        Its version.

    Raises:
        BadWeights: no whole record.
        BadModel: of another model than ``app.toml`` describes.
        OSError: the log cannot be written.
    """
    weights = decode_weights(record)
    check_fits(weights, application)
    shelf = look(scripts.client, application.name)
    checksum = hashlib.sha256(record).hexdigest()
    for one in shelf.kept:
        if checksum == one.info.checksum or f"sha256 {checksum}" in one.info.note:
            return one.info.version
    version = max([IMPORTED_FROM, *imported.versions(), *[one.info.version for one in shelf.kept]]) + 1
    while True:
        numbered = encode_weights(weights.under(version))
        told = f"{note} · sha256 {checksum}"
        if imported.add(version, numbered) and keep(
            scripts, application, decode_weights(numbered), numbered, "imported", told
        ):
            return version
        version += 1


def forget(scripts: Scripts, app: str, version: int) -> None:
    """Take a version off the shelf.

    Raises:
        BadModel: it is not there, or it is pinned.
    """
    if not scripts.run(forget_call(app, [version])):
        shelf = look(scripts.client, app)
        if shelf.pin and shelf.pin.version == version:
            raise BadModel(f"version {name_of(version)} is pinned: `sidearm models resume` first")
        raise BadModel(_not_kept(scripts.client, app, version))


def check_fits(weights: Weights, application: Application) -> None:
    """Refuse weights whose places mean something else than this application's.

    Raises:
        BadModel: another bit width, or other interactions.
    """
    header, model = weights.header, application.model
    if header.bits != model.bits:
        raise BadModel(f"these weights have {header.bits} bits, [model] in app.toml says {model.bits}")
    if sorted(header.interactions) != sorted(model.interactions):
        raise BadModel(
            f"these weights have the interactions {list(header.interactions)}, [model] in app.toml says"
            f" {list(model.interactions)}"
        )


def await_sidecars(
    client: redis.Redis, app: str, is_served: Callable[[Serving], bool], patience_s: float
) -> list[Serving]:
    """Wait until every sidecar that spoke lately serves what it should; those that do not, in the end."""
    end = time.monotonic() + patience_s
    while True:
        missing = [one for one in look(client, app).serving if not is_served(one)]
        if not missing or time.monotonic() > end:
            return missing
        time.sleep(_POLL_S)


def _newest(stored: Sequence[bytes | None]) -> Newest | None:
    version, epoch, at_ms, checksum = stored
    if version is None:
        return None
    return Newest(int(version), int(epoch or 0), int(at_ms or 0), (checksum or b"").decode())


def _not_kept(client: redis.Redis, app: str, version: int) -> str:
    kept = [name_of(one.info.version) for one in look(client, app).kept]
    return (
        f"version {name_of(version)} of {app!r} is not kept; kept are: {', '.join(kept) or 'none yet'}. "
        "`sidearm rebuild` makes any version of the log again"
    )
