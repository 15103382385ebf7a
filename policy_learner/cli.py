"""``sidearm replay`` and ``sidearm show``: the log done again, and one decision of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from policy_learner.archive.show import Logged
    from policy_learner.models.replayed import Replayed
    from sidecar.contracts.application import Application
    from sidecar.contracts.layout import DataFolder

AppFolder = Annotated[Path, typer.Option(help="The application's folder.", envvar="SIDEARM_APP")]
DataOption = Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")]


def replay_command(
    app: AppFolder = Path("examples/shop"),
    data: DataOption = Path("data"),
) -> None:
    """Draw, score and train the whole log again; exit code 1 when a single bit comes out another way."""
    from rich.console import Console

    console = Console()
    application, folder = _open(app, data)
    result = _replay_with_progress(application, folder, console)
    _print(console, result)
    if not result.clean:
        raise typer.Exit(1)


def show_command(
    decision_id: Annotated[str, typer.Argument(help="As the answer named it.")],
    app: AppFolder = Path("examples/shop"),
    data: DataOption = Path("data"),
) -> None:
    """Show one decision from the log: what was decided, why, and what came of it."""
    from rich.console import Console

    from policy_learner.archive.show import find
    from policy_learner.errors import BadArchive

    application, folder = _open(app, data)
    logged = find(folder.log(application.name), application, decision_id)
    if logged is None:
        raise BadArchive(
            f"{decision_id} is not in the log below {folder.log(application.name)}: it may wait for its "
            "horizon or for the next file; ask the service (GET /v1/decisions/{id})"
        )
    _print_decision(Console(), logged)


def _open(app: Path, data: Path) -> tuple[Application, DataFolder]:
    from policy_learner.errors import BadArchive
    from sidecar.contracts.application import load_application
    from sidecar.contracts.layout import DataFolder

    application, folder = load_application(app), DataFolder(data)
    log = folder.log(application.name)
    if not any((log / dataset).is_dir() for dataset in ("decisions", "lessons")):
        raise BadArchive(f"{log} holds no decisions: nothing of {application.name!r} was archived yet")
    return application, folder


def _replay_with_progress(application: Application, folder: DataFolder, console: Console) -> Replayed:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from policy_learner.models.replay import replay
    from policy_learner.models.row_index import Index

    index = Index(folder.log(application.name), application)
    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("replay", total=len(index))
        return replay(application, folder, index, lambda done: progress.advance(task, done))


_COUNTED = {
    "decisions": "decisions in the log",
    "drawn": "drawn again",
    "scored": "scored again",
    "based": "scored again by their base model",
    "imported": "imported: another system drew",
    "foreign": "scored by another model container: drawn again only",
    "certain": "answered with certainty: nothing to draw",
    "versions": "versions of the weights trained again",
    "examples": "examples trained again",
    "deleted": "versions that learnt from rows deleted since (retention, privacy)",
}


def _print(console: Console, result: Replayed) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, meaning in _COUNTED.items():
        table.add_row(meaning, f"{result.counts[name]:,}", style=None if result.counts[name] else "dim")
    mismatches = sum(result.mismatches.values())
    table.add_row("mismatches", f"{mismatches:,}", style="bold green" if result.clean else "bold red")
    console.print(table)
    for what, name, detail in result.told:
        console.print(f"  {what}: {name}: {detail}", markup=False, highlight=False)
    if mismatches > len(result.told):
        console.print(f"  … and {mismatches - len(result.told):,} more: {dict(result.mismatches)}")


def _print_decision(console: Console, logged: Logged) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    lists = {name: logged.row.pop(name) for name in ("arms", "scores", "pmf")}
    for name, value in logged.row.items():
        table.add_row(name, str(value))
    for name in ("seed", "digest", "client_key", "outcomes", "excluded", "exploration"):
        table.add_row(name, str(getattr(logged.event, name)))
    table.add_row("file", str(logged.file))
    for model, told in _opinions(logged, lists["arms"]):
        table.add_row(f"model {model}", told)
    for slot in logged.slots:
        told = f"{slot['arm']} probability {slot['propensity']:.6g} reward {slot['reward']}"
        table.add_row(f"slot {slot['slot']}", told)
    for lesson in logged.lessons:
        told = f"{lesson['kind']} {lesson['reward_key']} {lesson['reward']} {lesson['at']}"
        table.add_row("learnt", told if lesson["learn"] else f"{told} refused")
    for reward in logged.late:
        table.add_row(
            "not joined", f"{reward['kind']} {reward['reward_key']} {reward['value']} {reward['at']}"
        )
    console.print(table)
    _print_arms(console, logged, lists)


def _opinions(logged: Logged, arms: object) -> Iterator[tuple[str, str]]:
    """What each model said, where there were several."""
    from sidecar.contracts.models import name_of
    from sidecar.contracts.opinions import opinions

    said = opinions(logged.event, arms if isinstance(arms, list) else [])
    for one in said if len(said) > 1 else []:
        if one.version is None:
            yield one.model, "did not answer"
        else:
            yield one.model, f"version {name_of(one.version)} chance {one.chance:.6g} prefers {one.preferred}"


def _print_arms(console: Console, logged: Logged, lists: dict[str, object]) -> None:
    from rich.table import Table

    from sidecar.contracts.arm_features import features_by_arm

    arms, scores, pmf = (value if isinstance(value, list) else [] for value in lists.values())
    own = features_by_arm(logged.event.arm_features, len(arms))
    table = Table("arm", "score", "probability", "fetched", box=None, pad_edge=False)
    for place, arm in enumerate(arms):
        score = f"{scores[place]:.6g}" if place < len(scores) else ""
        probability = f"{pmf[place]:.6g}" if place < len(pmf) else ""
        fetched = " ".join(f"{name}={value}" for name, value in own[place].items())
        style = "bold" if place == logged.row["arm_index"] else None
        table.add_row(arm, score, probability, fetched, style=style)
    console.print(table)
