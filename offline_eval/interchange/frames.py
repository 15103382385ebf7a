"""Any table of logged decisions as a log: say which column is what."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from msgspec import Struct, structs

from offline_eval.errors import BadInput
from offline_eval.interchange.checking import Imported, checked
from offline_eval.interchange.log_writer import EPOCH, Decision, LogWriter
from sidecar.contracts.application import Features

_BATCH_ROWS = 50_000


class Columns(Struct, frozen=True, forbid_unknown_fields=True):
    """Which column is what; empty where there is none."""

    arm: str = "arm"
    propensity: str = "propensity"
    reward: str = "reward"
    decision_id: str = ""
    """Empty: the row's number. Rows of one id and slot are repeats, of which the first counts."""
    slot: str = ""
    unit_id: str = ""
    """Unit of randomisation, such as the user; empty: every row is one of its own."""
    time: str = ""
    """A timestamp; without a zone it is UTC."""
    policy: str = ""
    model_version: str = ""
    arms: str = ""
    """A list of eligible arms; empty: all arms that the table shows."""
    pmf: str = ""
    """A list of probabilities, in the order of ``arms``."""
    propensity_mc_n: str = ""
    """Draws behind a propensity that is itself an estimate."""
    inclusion_probability: str = ""
    context: tuple[str, ...] = ()
    """Features: text, numbers or booleans."""


def import_frame(frame: object, folder: Path, columns: Columns | None = None) -> Imported:
    """Write a table as a log, and examine it.

    Args:
        frame: polars, pandas, Arrow, or whatever else hands out Arrow data.
        folder: of the new log, such as ``data/log/theirs``.
        columns: which column is what.

    Raises:
        BadInput: it is no table, a column is missing or of another type, or the folder is not new.
    """
    columns = columns or Columns()
    table = arrow_of(frame)
    _check(table, columns)
    writer = LogWriter(folder)
    everywhere = () if columns.arms else _shown(table, columns.arm)
    for start in range(0, len(table), _BATCH_ROWS):
        writer.write(list(_decisions(table.slice(start, _BATCH_ROWS), columns, everywhere, start)))
    writer.finish()
    return checked(folder)


def arrow_of(frame: object) -> pa.Table:
    """The table as Arrow.

    Raises:
        BadInput: it is none.
    """
    if isinstance(frame, pa.Table):
        return frame
    try:
        return pa.table(frame)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise BadInput(f"{type(frame).__name__} is no table: legal are polars, pandas, Arrow") from error


def _check(table: pa.Table, columns: Columns) -> None:
    named = [one for one in structs.asdict(columns).values() if isinstance(one, str) and one]
    if missing := [name for name in (*named, *columns.context) if name not in table.column_names]:
        raise BadInput(f"column {missing[0]!r} is not there: there are {', '.join(table.column_names)}")
    for name in (columns.propensity, columns.reward):
        kind = table.schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
                or pa.types.is_decimal(kind) or pa.types.is_null(kind)):  # fmt: skip
            raise BadInput(f"column {name!r} is {kind}: numbers are legal")


def _shown(table: pa.Table, arm: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_text(value) for value in table[arm].unique().to_pylist()))


def _decisions(
    table: pa.Table, columns: Columns, everywhere: tuple[str, ...], start: int
) -> Iterator[Decision]:
    for place, row in enumerate(table.to_pylist(), start):
        yield _decision(row, columns, everywhere, place)


def _decision(row: Mapping[str, Any], columns: Columns, everywhere: tuple[str, ...], place: int) -> Decision:
    def of(name: str, otherwise: Any = None) -> Any:  # noqa: ANN401 - whatever the table holds
        value = row[name] if name else None
        return otherwise if value is None else value

    pmf = of(columns.pmf)
    reward = of(columns.reward)
    propensity = of(columns.propensity)
    return Decision(
        decision_id=_text(of(columns.decision_id, f"row-{place}")), slot=int(of(columns.slot, 0)),
        unit_id=_text(of(columns.unit_id, "")), at=_moment(of(columns.time), columns.time),
        policy=_text(of(columns.policy, "import")), model_version=int(of(columns.model_version, 0)),
        arm=_text(of(columns.arm, "")), arms=_arms(of(columns.arms), everywhere),
        pmf=None if pmf is None else tuple(map(float, pmf)),
        propensity=None if propensity is None else float(propensity),
        propensity_mc_n=of(columns.propensity_mc_n),
        inclusion_probability=float(of(columns.inclusion_probability, 1.0)),
        reward=None if reward is None else float(reward), context=_features(row, columns.context),
    )  # fmt: skip


def _arms(given: Sequence[object] | None, everywhere: tuple[str, ...]) -> tuple[str, ...]:
    return everywhere if given is None else tuple(map(_text, given))


def _features(row: Mapping[str, Any], names: Sequence[str]) -> Features:
    """What is null is no feature; whole numbers are magnitudes like the others."""
    found = {name: row[name] for name in names if row[name] is not None}
    return {name: one if isinstance(one, str | bool) else float(one) for name, one in found.items()}


def _moment(value: object, column: str) -> dt.datetime:
    if value is None:
        return EPOCH
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    raise BadInput(f"column {column!r} holds {value!r}: timestamps are legal")


def _text(value: object) -> str:
    return "" if value is None else str(value)
