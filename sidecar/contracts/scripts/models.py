"""``keep.lua``, ``forget.lua``, ``pin.lua``, ``serving.lua``: the versions that can be served again."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sidecar.contracts import keys
from sidecar.contracts.models import ModelInfo, encode_info
from sidecar.contracts.scripts.call import Call, text


class KeepStatus(StrEnum):
    """What became of a version to keep."""

    OK = "OK"
    KEPT = "KEPT"
    """A version of that number is kept already; it was not changed."""
    FENCED = "FENCED"
    """A later learner took over: exit."""


class PinStatus(StrEnum):
    """What became of a pin."""

    OK = "OK"
    SAME = "SAME"
    """It is so already."""
    UNKNOWN = "UNKNOWN"
    """The version is not among those that are kept."""


def keep_call(app: str, info: ModelInfo, record: bytes, epoch: int | None = None) -> Call:
    """Keep a version; under the learner's epoch when it is the learner that does."""
    where = (
        keys.model_infos(app),
        keys.model_records(app),
        keys.weights(app),
        keys.app_skew(app),
        keys.epoch(app),
    )
    what = (str(info.version), encode_info(info), record, "" if epoch is None else str(epoch))
    return Call("keep", where, what)


def parse_keep(reply: bytes) -> KeepStatus:
    """The answer."""
    return KeepStatus(text(reply))


def forget_call(app: str, versions: Iterable[int]) -> Call:
    """Keep these no longer; the answer is how many are gone."""
    where = (keys.model_infos(app), keys.model_records(app), keys.pin(app))
    return Call("forget", where, tuple([str(version) for version in versions]))


def pin_call(app: str, version: int | None, reason: str) -> Call:
    """Serve this version; None: the newest."""
    where = (
        keys.pin(app),
        keys.model_records(app),
        keys.model_notices(app),
        keys.weights(app),
        keys.app_skew(app),
    )
    return Call("pin", where, ("" if version is None else str(version), reason))


def parse_pin(reply: bytes) -> PinStatus:
    """The answer."""
    return PinStatus(text(reply))


def serving_call(app: str, sidecar: str, version: int, pinned: bool, word: str) -> Call:
    """A sidecar says what it serves."""
    where = (keys.serving(app), keys.weights(app), keys.app_skew(app))
    return Call("serving", where, (sidecar, str(version), str(int(pinned)), word))
