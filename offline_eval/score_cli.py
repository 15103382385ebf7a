"""``sidearm score``: what the model that serves says of every row of a Parquet file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

# Polars and numpy take their time to import: `sidearm --help` must not.
if TYPE_CHECKING:
    from offline_eval.bulk_scoring import Scoring
    from sidecar.contracts.application import Application


def score_command(
    file: Annotated[Path, typer.Argument(help="Parquet: a row a decision, a column a feature.")],
    app: Annotated[Path, typer.Argument(help="The application's folder.", envvar="SIDEARM_APP")] = Path(
        "examples/shop"
    ),
    out: Annotated[
        Path | None, typer.Option(help="Where to; by default beside the file, as <name>.scored.parquet.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A deployed model, by its name; without one the champion scores.")
    ] = "",
    weights: Annotated[
        str, typer.Option(help="A weights file, to score with instead of the store's; then none is needed.")
    ] = "",
    data: Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")] = Path("data"),
) -> None:
    """Score a Parquet file with the model, catalogue and exploration that serve: best arm, scores, pmf."""
    if model and weights:
        raise typer.BadParameter("a model's weights are in the store: legal is one of --model and --weights")
    from offline_eval.bulk_scoring import score_file
    from sidecar.contracts.application import load_application

    application = load_application(app)
    scoring = _of_file(app, application, weights) if weights else _of_store(app, application, data, model)
    target = out or file.with_name(f"{file.stem}.scored.parquet")
    done = score_file(file, target, scoring)
    version = scoring.weights.header.version if scoring.weights else 0
    typer.echo(
        f"{done.rows:,} {'row' if done.rows == 1 else 'rows'} scored with version {version} into {target}"
    )
    typer.echo(f"features: {', '.join(done.features) or 'none, so all rows score alike'}")


def _of_file(folder: Path, application: Application, weights: str) -> Scoring:
    from offline_eval.bulk_scoring import Scoring
    from offline_eval.weight_files import read_weights
    from sidecar.contracts.catalogue import load_catalogue

    read = read_weights(weights, application.name)
    return Scoring(load_catalogue(folder, application), application.exploration.as_logged(), read)


def _of_store(folder: Path, application: Application, data: Path, model: str) -> Scoring:
    import redis

    from offline_eval.errors import BadInput
    from offline_eval.serving_now import scoring_now
    from sidecar.contracts.layout import DataFolder
    from sidecar.contracts.store import connect
    from sidecar.contracts.store_address import store_address, without_password

    url = store_address(os.environ, DataFolder(data))
    try:
        with connect(url) as client:
            return scoring_now(client, folder, application, model)
    except (redis.RedisError, OSError) as error:
        raise BadInput(
            f"no store answers at {without_password(url)} ({error}): start it, or name a file by --weights"
        ) from error
