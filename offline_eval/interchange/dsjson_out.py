"""Our log as VW's DSJSON: a line a decision, keys in the order in which VW's own writer has them.

Rows that were kept with a probability have ``pdrop``, and ``_label_probability`` is the propensity alone: a
reader divides by 1 - pdrop, and would correct twice if the label had it too.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from offline_eval.batches import read_batches
from offline_eval.dataset import Log, Window, open_log
from offline_eval.engine import connect
from offline_eval.errors import BadInput
from offline_eval.interchange.dsjson_slots import SlotRow, first_slots, outcomes, ranking, slots
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.events import DecisionEvent

_BATCH_ROWS = 5_000
_COLUMNS = [
    "slot", "reward", "reward_source_n", "inclusion_probability", "propensity", "arm_index", "arms", "pmf",
]  # fmt: skip


def export_dsjson(folder: Path, file: Path, window: Window | None = None) -> dict[str, int]:
    """Write the rows of a log that count.

    Args:
        folder: of the log.
        file: to be written.
        window: which rows.

    Returns:
        ``written`` lines, how many of them are ``of_several_slots``, and reason to rows that DSJSON has no
        place for.

    Raises:
        BadLog: the log cannot be read.
        BadInput: the file cannot be written.
    """
    log, counts = open_log(connect(), folder, window), Counter[str](written=0, of_several_slots=0)
    beside = file.with_name(f".{file.name}.part")
    try:
        with beside.open("wb") as out:
            for line in lines_of(log, counts):
                out.write(line + b"\n")
        beside.replace(file)
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
    return dict(counts)


def lines_of(log: Log, counts: Counter[str]) -> Iterator[bytes]:
    """The lines; ``counts`` says what became of the rows."""
    catalogues: dict[str, Catalogue] = {}
    for _, rows in groupby(_rows(log), lambda one: one.event.decision_id):
        found = first_slots(list(rows), counts)
        if not found:
            continue
        version = found[0].event.catalogue
        if version not in catalogues:
            catalogues[version] = log.catalogue(version)
        counts["written"] += 1
        counts["of_several_slots"] += len(found) > 1
        yield msgspec.json.encode((_line if len(found) == 1 else _long_line)(found, catalogues[version]))


def _rows(log: Log) -> Iterator[SlotRow]:
    """In the order of the log, in which slots of a decision follow each other."""
    for batch in read_batches(log, "", {}, with_events=True, batch_rows=_BATCH_ROWS):
        rows = batch.table.select(_COLUMNS).to_pylist()
        yield from map(SlotRow, batch.events, rows)


def _line(found: Sequence[SlotRow], catalogue: Catalogue) -> Mapping[str, object]:
    """A decision of one slot: actions are counted from 1."""
    ((event, row),) = found
    reward, p, chosen = row["reward"], row["propensity"], row["arm_index"]
    ranked = ranking(row)
    observed = [{"v": reward, "EventId": event.decision_id, "ActionTaken": False}]
    cost = -reward if reward else 0.0
    return {
        "_label_cost": cost, "_label_probability": p, "_label_Action": chosen + 1, "_labelIndex": chosen,
        "o": observed if row["reward_source_n"] else [], "Timestamp": _stamp(event.decided_at_ms),
        "Version": "1", "EventId": event.decision_id, "a": [one + 1 for one in ranked],
        "c": {"FromUrl": [event.context], "_multi": _multi(event, row["arms"], catalogue)},
        "p": [p, *(row["pmf"][one] for one in ranked[1:])], **_model(event), **_dropped(row),
        "_original_label_cost": cost,
    }  # fmt: skip


def _long_line(found: Sequence[SlotRow], catalogue: Catalogue) -> Mapping[str, object]:
    """A decision of several."""
    event = found[0].event
    arms = list(dict.fromkeys(arm for one in found for arm in one.row["arms"]))
    return {
        "Timestamp": _stamp(event.decided_at_ms), "Version": "1", "EventId": event.decision_id,
        "c": {"FromUrl": [event.context], "_multi": _multi(event, arms, catalogue),
              "_slots": slots(found, arms)},
        "_outcomes": outcomes(found, arms), **_model(event), **_dropped(found[0].row),
    }  # fmt: skip


def _model(event: DecisionEvent) -> Mapping[str, object]:
    return {"VWState": {"m": f"{event.policy}/{event.model_version}"}}


def _dropped(row: Mapping[str, Any]) -> Mapping[str, object]:
    """Only where it is not 0."""
    kept = row["inclusion_probability"]
    return {"pdrop": 1.0 - kept} if kept < 1.0 else {}


def _multi(event: DecisionEvent, arms: Sequence[str], catalogue: Catalogue) -> list[dict[str, object]]:
    """An object for every eligible arm: its name, and its features where it has any."""
    known = {arm.id: arm.features for arm in catalogue.arms}
    found: list[dict[str, object]] = []
    for name in arms:
        features = {**known.get(name, {}), **event.given_arms.get(name, {})}
        listed = {"j": [features]} if features else {}
        found.append({"_tag": name, "i": {"constant": 1, "id": name}, **listed})
    return found


def _stamp(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
