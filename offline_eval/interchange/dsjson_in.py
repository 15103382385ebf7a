"""VW's DSJSON lines as a log.

Where events were dropped (``pdrop``), the propensity is p[0] and the row counts 1 / (1 - pdrop) times: the
label's probability of the converter that wrote most such files has the drop in it already, and would correct
for it twice.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from offline_eval.errors import BadInput
from offline_eval.interchange.checking import Imported, checked
from offline_eval.interchange.log_writer import EPOCH, Decision, LogWriter
from sidecar.contracts.application import Features

_BATCH = 20_000
_MICROSECONDS = 26  # of "2021-02-04T16:31:29.943000"
_NO_FEATURES = ("_multi", "_slots")


class _NoDecision(Exception):
    """Why a line is none."""


def import_dsjson(file: Path, folder: Path) -> Imported:
    """Write DSJSON lines as a log, and examine it.

    Args:
        file: a line a decision; single- or multi-slot. Others are counted by reason.
        folder: of the new log.

    Raises:
        BadInput: the file cannot be read, or the folder is not new.
    """
    writer, skipped = LogWriter(folder), Counter[str]()
    try:
        with file.open("rb") as lines:
            waiting: list[Decision] = []
            for one in decisions_of(lines, skipped):
                waiting.append(one)
                if len(waiting) >= _BATCH:
                    writer.write(waiting)
                    waiting = []
            if waiting:
                writer.write(waiting)
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from error
    writer.finish()
    return checked(folder, dict(skipped))


def decisions_of(lines: Iterable[bytes], skipped: Counter[str]) -> Iterator[Decision]:
    """The decisions in some lines; ``skipped`` counts the others by reason."""
    for line in lines:
        if not line.strip():
            continue
        try:
            yield from _of_line(line)
        except _NoDecision as why:
            skipped[str(why)] += 1
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
            skipped["broken"] += 1


def _of_line(line: bytes) -> Sequence[Decision]:
    if not line.lstrip().startswith(b"{"):
        raise _NoDecision("not_an_object")
    try:
        read: dict[str, Any] = msgspec.json.decode(line)
    except msgspec.DecodeError:
        raise _NoDecision("broken") from None
    if "c" not in read:
        raise _NoDecision("dangling_reward" if "RewardValue" in read else "no_context")
    dropped = float(read.get("pdrop", 0.0))
    if not 0.0 <= dropped < 1.0:
        raise _NoDecision("pdrop_invalid")
    if "_label_ca" in read:
        raise _NoDecision("continuous")
    if "_outcomes" in read:
        return _slots(read, 1.0 - dropped)
    return [_single(read, 1.0 - dropped)]


def _single(read: Mapping[str, Any], kept: float) -> Decision:
    names, features = _arms(read["c"])
    ranked = [int(one) - 1 for one in read["a"]]
    return _decision(read, names, features, ranked, _probabilities(read), _reward(read), kept)


def _slots(read: Mapping[str, Any], kept: float) -> list[Decision]:
    """A decision for every slot, among the arms that it could still show."""
    if "_label_cost" in read:
        raise _NoDecision("slate")
    names, features = _arms(read["c"])
    return [
        _decision(read, names, features, [int(a) for a in one["_a"]], list(map(float, one["_p"])),
                  _reward(one), kept, slot)
        for slot, one in enumerate(read["_outcomes"])
    ]  # fmt: skip


def _decision(
    read: Mapping[str, Any],
    names: Sequence[str],
    features: Mapping[str, Features],
    ranked: Sequence[int],
    p: Sequence[float],
    reward: float,
    kept: float,
    slot: int = 0,
) -> Decision:
    if any(not 0 <= place < len(names) for place in ranked):
        raise _NoDecision("unknown_action")
    whole = len(p) == len(ranked)
    order = sorted(ranked)
    by_place = dict(zip(ranked, p, strict=False))
    eligible = tuple([names[place] for place in order])
    return Decision(
        decision_id=str(read["EventId"]), slot=slot, arm=names[ranked[0]], arms=eligible, propensity=p[0],
        pmf=tuple([by_place[place] for place in order]) if whole else None, reward=reward,
        at=_moment(read.get("Timestamp", "")), policy=str(read.get("VWState", {}).get("m", "N/A")),
        inclusion_probability=kept, context=_context(read["c"]),
        arm_features={name: features[name] for name in eligible if features[name]},
        is_activated=not (read.get("_skipLearn") or read.get("_deferred")),
    )  # fmt: skip


def _probabilities(read: Mapping[str, Any]) -> list[float]:
    p = read["_p"] if "_p" in read else read.get("p")
    return list(map(float, p)) if p else [float(read["_label_probability"])]


def _reward(read: Mapping[str, Any]) -> float:
    cost = float(read["_original_label_cost"] if "_original_label_cost" in read else read["_label_cost"])
    return -cost if cost else 0.0


def _arms(c: Mapping[str, Any]) -> tuple[list[str], dict[str, Features]]:
    """Names of the actions, by ``_tag``, ``i.id`` or their place, and their features."""
    names, features = [], {}
    for place, one in enumerate(c["_multi"]):
        name = str(one.get("_tag") or (one.get("i") or {}).get("id") or place + 1)
        names.append(name)
        features[name] = _flat({key: value for key, value in one.items() if key not in ("_tag", "i")}, "j")
    if len(features) < len(names):
        raise _NoDecision("two_actions_of_one_name")
    return names, features


def _context(c: Mapping[str, Any]) -> Features:
    return _flat({key: value for key, value in c.items() if key not in _NO_FEATURES}, "FromUrl")


def _flat(namespaces: Mapping[str, Any], plain: str) -> Features:
    """Features of all namespaces; those of ``plain`` by their own name, of others after theirs."""
    found: dict[str, Any] = {}
    for namespace, value in namespaces.items():
        if not namespace.startswith("_"):
            _gather(found, "" if namespace == plain else namespace, value)
    return {name: one if isinstance(one, str | bool) else float(one) for name, one in found.items()}


def _gather(found: dict[str, Any], name: str, value: object) -> None:
    if isinstance(value, Mapping):
        for key, one in value.items():
            if not key.startswith("_"):
                _gather(found, f"{name}.{key}" if name else key, one)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            _gather(
                found, name if isinstance(one, Mapping) else f"{name}.{place}" if name else str(place), one
            )
    elif isinstance(value, str | bool) or (isinstance(value, int | float) and math.isfinite(value)):
        found[name or "value"] = value


def _moment(text: str) -> dt.datetime:
    """UTC; services write seven digits of a second, which is one more than there are."""
    if not text:
        return EPOCH
    return dt.datetime.fromisoformat(text.removesuffix("Z")[:_MICROSECONDS]).replace(tzinfo=dt.UTC)
