"""``sidearm train``: models trained again from the log, side by side; the best becomes the online one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

# Numbers, pyarrow and VW take a while to import: `sidearm --help` must not.
if TYPE_CHECKING:
    from rich.console import Console

    from policy_learner.rebase.base_training import Compared, Job, Plan
    from policy_learner.rebase.candidates import Candidate
    from sidecar.contracts.application import Application
    from sidecar.contracts.layout import DataFolder

_SHOP, _DATA = Path("examples/shop"), Path("data")
_REFUSED = 1


def train_command(
    app: Annotated[Path, typer.Argument(help="The application's folder.", envvar="SIDEARM_APP")] = _SHOP,
    data: Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")] = _DATA,
    since: Annotated[
        str, typer.Option("--from", help="First day (UTC) of finalisation, or a moment, ISO 8601.")
    ] = "",
    until: Annotated[str, typer.Option("--to", help="Last day, itself included; or a moment.")] = "",
    days: Annotated[int, typer.Option(help="Instead of --from: so many days back.", min=0)] = 0,
    epochs: Annotated[str, typer.Option(help="Passes over the older part; several: 1,3.")] = "1",
    learning_rates: Annotated[str, typer.Option(help="Several: 0.1,0.5. Default: that of app.toml.")] = "",
    newer: Annotated[
        float, typer.Option(help="Share of the rows, the last ones, on which is compared.", min=0.01, max=0.9)
    ] = 0.2,
    hand_over: Annotated[
        bool, typer.Option("--hand-over", help="The best one becomes the online model.")
    ] = False,
    as_base_model: Annotated[
        bool,
        typer.Option(
            "--as-base-model",
            help="The best one becomes the base model ([model.base]); it learns from no other.",
        ),
    ] = False,
    choose: Annotated[int, typer.Option(help="Take this row of the table instead.", min=0)] = 0,
    evaluation: Annotated[bool, typer.Option(help="Evaluate offline too.")] = True,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the learner.", min=0.0)] = 60.0,
) -> None:
    """Train models from the log side by side, compare them, and hand the best one over to online learning."""
    from rich.console import Console

    from policy_learner.rebase.base_training import Job, plan_of
    from policy_learner.rebase.train_options import parse_span, parse_variants
    from sidecar.contracts.application import load_application
    from sidecar.contracts.layout import DataFolder

    console = Console()
    application, folder = load_application(app), DataFolder(data)
    if as_base_model:
        application = _alone(application, hand_over)
    variants = parse_variants(epochs, learning_rates, application.model.learning_rate)
    log = folder.log(application.name)
    job = Job(application, log, parse_span(since, until, days), variants, newer, evaluation)
    plan = plan_of(job)
    chosen = _train(console, job, plan, choose)
    if hand_over:
        _offer(console, folder, job, _finish(console, job, plan, chosen), wait)
    if as_base_model:
        _put_in_place(console, folder, app, job, plan, chosen)


def _alone(application: Application, hand_over: bool) -> Application:
    """The application as a base model sees it.

    Raises:
        BadSettings: there is to be none, or the model is to become the online one too.
    """
    import msgspec

    from sidecar.contracts.errors import BadSettings

    if application.model.base is None:
        raise BadSettings("--as-base-model: app.toml has no [model.base]")
    if hand_over:
        raise BadSettings("--as-base-model and --hand-over: one model cannot be both")
    return msgspec.structs.replace(application, model=msgspec.structs.replace(application.model, base=None))


def _train(console: Console, job: Job, plan: Plan, choose: int) -> Candidate:
    """Train and compare, with a bar; the one that is taken."""
    from policy_learner.rebase.base_training import bench_of, compare, rows_to_train
    from policy_learner.rebase.train_report import bar, print_comparison

    with bar(console, rows_to_train(job, plan)) as (tick, tell):
        bench = bench_of(job, tick)
        compared = compare(job, plan, bench, tell)
    chosen = _chosen(compared, choose)
    print_comparison(console, job, plan, compared, chosen)
    return chosen


def _finish(console: Console, job: Job, plan: Plan, chosen: Candidate) -> str:
    """Bring it to the end of the log, with a bar; the id of the base."""
    from policy_learner.rebase.base_training import bench_of, finish
    from policy_learner.rebase.train_report import bar

    with bar(console, sum(one.rows for one in plan.newest)) as (tick, tell):
        tell("newest part")
        return finish(job, plan, bench_of(job, tick), chosen)


def _put_in_place(
    console: Console, data: DataFolder, app: Path, job: Job, plan: Plan, chosen: Candidate
) -> None:
    """Bring it to the end of the log, and let the sidecars score with it."""
    from policy_learner.models.opened import open_place
    from policy_learner.rebase.base_models import install
    from policy_learner.rebase.base_training import bench_of
    from policy_learner.rebase.train_report import bar

    with bar(console, sum(one.rows for one in plan.newest)) as (tick, tell):
        tell("newest part")
        record = bench_of(job, tick).go_on(chosen, plan.newest).record(0, 0)
    note = f"trained on {record.weights.header.examples:,} examples"
    with open_place(app, data.root) as place:
        name = install(place.client, place.application, job.log, record.encoded, note)
    console.print(f"base model {name}, {note}: its score is a feature of every arm from now on")


def _chosen(compared: Compared, choose: int) -> Candidate:
    """The best, or the one of that row.

    Raises:
        BadSettings: there is no such row.
    """
    from sidecar.contracts.errors import BadSettings

    if choose > len(compared.candidates):
        raise BadSettings(f"--choose {choose}: the table has {len(compared.candidates)} rows")
    return compared.candidates[choose - 1] if choose else compared.best


def _offer(console: Console, data: DataFolder, job: Job, base: str, wait_s: float) -> None:
    """Ask the learner to go on from a base, and say what became of it."""
    import time

    from policy_learner.rebase.handing_over import hand_over
    from policy_learner.rebase.spent_bases import remove_spent

    remove_spent(job.log, job.application.name, data.checkpoints(job.application.name), time.time())
    outcome = hand_over(data.checkpoints(job.application.name), base, wait_s)
    if outcome is None:
        console.print(
            f"base {base} is offered; the learner takes it up when it runs (`sidearm status` says so)"
        )
    elif outcome.version:
        console.print(f"base {base} is the online model since version {outcome.version}")
    else:
        console.print(f"base {base} is refused: {outcome.reason}", style="red", markup=False)
        raise typer.Exit(_REFUSED)
