"""A table of contexts to a table of scores: the pipeline that serves, in bulk.

Every row of the table is a decision to be scored; it comes back with all its columns and those of ``ADDED``.
Features are the columns themselves, or, where there is a text column ``context``, the JSON in it: so both a
table of one's own and a file of the decision log will do. They are scored as they stand there: no graph is
asked. A list column ``arms`` says which arms are eligible; without it all of the catalogue are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from offline_eval.errors import BadInput
from sidecar.contracts.application import Arm, Exploration, Features
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import ScoreRequest, ScoreResponse, ScoreRow
from sidecar.policy.adapters import read_pmf, read_scores
from sidecar.policy.base import BaseModel
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score

BATCH_ROWS = 1_024
CONTEXT, ARMS = "context", "arms"
NO_FEATURES = ("session_id", "unit_id", "decision_id", ARMS)
"""Columns that are kept, and are no features."""
ADDED = pl.Schema(
    {
        "scored_arm": pl.String(),
        "scored_arms": pl.List(pl.String()),
        "scored_scores": pl.List(pl.Float32()),
        "scored_pmf": pl.List(pl.Float64()),
        "scored_expected": pl.List(pl.Float32()),
        "scored_version": pl.Int64(),
    }
)
"""The best arm; the eligible ones in the order of the lists; their scores, probabilities, and the rewards
to be expected (null where the weights do not know); the version of the weights, 0: there are none."""


class Scoring(NamedTuple):
    """What scores, as it would serve."""

    catalogue: Catalogue
    exploration: Exploration
    weights: Weights | None
    base: BaseModel | None = None


class Scored(NamedTuple):
    """What came of a file."""

    rows: int
    features: tuple[str, ...]
    """The columns that features were read from."""


def score_file(source: Path, target: Path, scoring: Scoring) -> Scored:
    """Score a Parquet file into another one, in bounded memory; nothing is left behind if that fails.

    Raises:
        BadInput: it is no Parquet file, a column cannot be a feature, a row cannot be scored, or there is no
            place to write to.
    """
    beside = _beside(source, target)
    try:
        with pq.ParquetFile(source) as file:
            empty = pl.DataFrame(file.schema_arrow.empty_table())
            schema, rows = _scored_schema(empty), 0
            with pq.ParquetWriter(beside, schema, compression="zstd") as writer:
                for table in _scored_tables(file, scoring):
                    writer.write_table(table.cast(schema))
                    rows += len(table)
        beside.replace(target)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{source}: {error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return Scored(rows, tuple(_feature_columns(empty)))


def _beside(source: Path, target: Path) -> Path:
    """Where the result grows until it is whole."""
    if not source.is_file():
        raise BadInput(f"no file is called {source}")
    if not target.parent.is_dir():
        raise BadInput(f"{target} cannot be written: there is no folder {target.parent}")
    if target.exists() and target.samefile(source):
        raise BadInput(f"{target} is the table itself: another place is needed for its scores")
    return target.with_name(f".{target.name}.part")


def scored_frame(
    frame: pl.DataFrame, scoring: Scoring, tables: ArmTables, first_row: int = 0
) -> pl.DataFrame:
    """The rows of a table with the columns of ``ADDED``.

    Args:
        frame: some rows.
        scoring: what scores them.
        tables: compiled catalogues, kept from call to call.
        first_row: number of the first one, for messages.

    Raises:
        BadInput: a column cannot be a feature, or a row cannot be scored.
    """
    rows = [
        _row(context, arms, scoring.catalogue, tables, number)
        for number, (context, arms) in enumerate(
            zip(_contexts(frame, first_row), _eligible(frame), strict=True), first_row
        )
    ]
    return frame.hstack(pl.DataFrame(_answers(rows, scoring, tables, first_row), schema=ADDED, orient="row"))


def _scored_tables(file: pq.ParquetFile, scoring: Scoring) -> Iterator[pa.Table]:
    tables, first_row = ArmTables(), 0
    for batch in file.iter_batches(BATCH_ROWS):
        frame = pl.DataFrame(pa.table(batch))
        yield scored_frame(frame, scoring, tables, first_row).to_arrow()
        first_row += len(frame)


def _scored_schema(empty: pl.DataFrame) -> pa.Schema:
    if twice := [name for name in ADDED if name in empty.columns]:
        raise BadInput(f"column {twice[0]!r} is there already: was this table scored before?")
    added = pl.DataFrame(schema=ADDED).to_arrow().schema
    return pa.schema([*empty.to_arrow().schema, *added])


def _feature_columns(frame: pl.DataFrame) -> list[str]:
    if frame.schema.get(CONTEXT) == pl.String:
        return [CONTEXT]
    return [name for name in frame.columns if name not in NO_FEATURES]


def _contexts(frame: pl.DataFrame, first_row: int) -> list[Features]:
    named = _feature_columns(frame)
    if named == [CONTEXT]:
        return [_of_json(text, first_row + n) for n, text in enumerate(frame[CONTEXT])]
    for name in named:
        kind = frame.schema[name]
        if not (kind.is_numeric() or kind in (pl.String, pl.Boolean, pl.Categorical, pl.Null)):
            raise BadInput(f"column {name!r} is {kind}: a feature is text, a number or a boolean")
    if not named:
        return [{} for _ in range(len(frame))]
    return [_features(row) for row in frame.select(named).iter_rows(named=True)]


def _of_json(text: str | None, row: int) -> Features:
    try:
        return msgspec.json.decode(text or "{}", type=Features)
    except msgspec.MsgspecError as error:
        raise BadInput(f"row {row}: its context is no flat JSON object: {error}") from error


def _features(row: dict[str, object]) -> Features:
    """What is null is no feature; whole numbers are magnitudes like the others."""
    return {
        name: value if isinstance(value, str | bool) else float(value)  # type: ignore[arg-type]  # a number, by its column
        for name, value in row.items()
        if value is not None
    }


def _eligible(frame: pl.DataFrame) -> Sequence[Sequence[str] | None]:
    if ARMS not in frame.columns:
        return [None] * len(frame)
    if frame.schema[ARMS] != pl.List(pl.String):
        raise BadInput(f"column {ARMS!r} is {frame.schema[ARMS]}: a list of ids is legal")
    return frame[ARMS].to_list()


def _row(
    context: Features, arms: Sequence[str] | None, catalogue: Catalogue, tables: ArmTables, number: int
) -> ScoreRow:
    """Arms that the catalogue does not have are scored by what they share with others: their id."""
    if arms is None:
        return ScoreRow(context)
    if None in arms or len(set(arms)) < len(arms):
        raise BadInput(f"row {number}: an arm is null or stands twice; legal: ids, each once")
    places = tables.of(catalogue).places
    if all(arm in places for arm in arms):
        return ScoreRow(context, tuple([places[arm] for arm in arms]))
    given = [catalogue.arms[places[arm]] if arm in places else Arm(arm) for arm in arms]
    return ScoreRow(context, None, tuple(given))


def _answers(
    rows: Sequence[ScoreRow], scoring: Scoring, tables: ArmTables, first_row: int
) -> list[tuple[object, ...]]:
    catalogue = scoring.catalogue
    tables.of(catalogue)
    try:
        response = _response(rows, scoring, tables)
    except SidearmError as error:
        raise _first_refused(rows, scoring, tables, first_row) from error
    ids = tuple([arm.id for arm in catalogue.arms])
    found: list[tuple[object, ...]] = []
    for row, scored in zip(rows, response.rows, strict=True):
        scores = read_scores(scored.scores)
        arms = _ids_of(row, ids)
        expected = read_scores(scored.expected).tolist() if scored.expected else None
        found.append(
            (
                arms[int(scores.argmax())],
                arms,
                scores.tolist(),
                read_pmf(scored.pmf).tolist(),
                expected,
                response.model_version,
            )
        )
    return found


def _response(rows: Sequence[ScoreRow], scoring: Scoring, tables: ArmTables) -> ScoreResponse:
    request = ScoreRequest(tuple(rows), (scoring.exploration,), scoring.catalogue.version, calibrated=True)
    return score(request, scoring.weights, tables, scoring.base)


def _first_refused(rows: Sequence[ScoreRow], scoring: Scoring, tables: ArmTables, first_row: int) -> BadInput:
    """Which row it is that spoils the others, and why."""
    for number, row in enumerate(rows, first_row):
        try:
            _response([row], scoring, tables)
        except SidearmError as error:
            return BadInput(f"row {number}: {error}")
    return BadInput(f"rows {first_row} to {first_row + len(rows) - 1} cannot be scored together")


def _ids_of(row: ScoreRow, ids: Sequence[str]) -> list[str]:
    if row.given_arms:
        return [arm.id for arm in row.given_arms]
    return list(ids) if row.arms is None else [ids[place] for place in row.arms]
