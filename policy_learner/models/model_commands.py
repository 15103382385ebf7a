"""``sidearm models`` and ``sidearm rebuild``: the versions that are kept, and which of them is served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_learner.models.deploy_commands import DEPLOYING
from policy_learner.models.opened import AppFolder, DataOption, Opened, open_place
from policy_learner.promotion.contests_cli import contests_command

# Numbers, redis and rich take a while to import: `sidearm --help` must not.
if TYPE_CHECKING:
    from sidecar.contracts.models import Serving

Version = Annotated[str, typer.Argument(help="As `sidearm models list` shows it: 1234, or i1.")]
Reason = Annotated[str, typer.Option(help="Why; shown by `models list`.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the sidecars.", min=0.0)]
_SHOP, _DATA = Path("examples/shop"), Path("data")
_NOT_SERVED = 1

app = typer.Typer(
    help="Versions of the model, and which of them score: list, deploy, promote, roll back.",
    no_args_is_help=True,
)
for _name, _command in DEPLOYING.items():
    app.command(_name)(_command)
app.command("contests")(contests_command)


@app.callback()
def _group() -> None:
    """Versions of the model, and which of them score: list, deploy, promote, roll back."""


@app.command("list")
def list_command(app: AppFolder = _SHOP, data: DataOption = _DATA) -> None:
    """Show the versions that can be served, who serves what, whether one is pinned, and the models."""
    from policy_learner.models.model_shelf import look
    from policy_learner.models.model_tables import print_roster, print_shelf
    from policy_learner.rebase.base_models import installed
    from sidecar.contracts.rostering import read_roster

    with open_place(app, data) as opened:
        print_shelf(opened.name, look(opened.client, opened.name))
        base = installed(opened.client, opened.name)
        print_roster(read_roster(opened.client, opened.name))
    if base is not None:
        typer.echo(f"base model {base.name}, {base.note}")


@app.command("show")
def show_command(
    version: Version,
    app: AppFolder = _SHOP,
    data: DataOption = _DATA,
    top: Annotated[int, typer.Option(help="How many of the largest weights.", min=0, max=10_000)] = 20,
    decisions: Annotated[
        int, typer.Option(help="Recent decisions of each partition to learn context names from.", min=0)
    ] = 200,
) -> None:
    """Show one version: what it was trained on, what its scores mean, its largest weights by feature."""
    import hashlib

    from policy_learner.models.model_features import largest_weights
    from policy_learner.models.model_shelf import read_model
    from policy_learner.models.model_tables import print_calibration, print_info, print_weights
    from policy_learner.models.recent import arms_of_catalogues, recent_contexts
    from sidecar.contracts.models import info_of, version_of

    with open_place(app, data) as opened:
        weights, record = read_model(opened.client, opened.name, version_of(version))
        arms = arms_of_catalogues(opened.client, opened.name)
        contexts = recent_contexts(opened.client, opened.application, opened.data, decisions)
    print_info(info_of(weights, len(record), hashlib.sha256(record).hexdigest()))
    print_calibration(weights.header.calibration)
    print_weights(largest_weights(weights, top, arms, contexts))


@app.command("rollback")
def rollback_command(
    version: Version,
    app: AppFolder = _SHOP,
    data: DataOption = _DATA,
    reason: Reason = "",
    wait: Wait = 5.0,
) -> None:
    """Serve VERSION on every sidecar from now on, until `models resume`. Learning and publishing go on."""
    from policy_learner.models.model_shelf import await_sidecars, serve
    from sidecar.contracts.models import name_of, version_of

    number = version_of(version)
    with open_place(app, data) as opened:
        serve(opened.scripts, opened.application, number, reason or "rolled back")
        missing = await_sidecars(
            opened.client, opened.name, lambda one: one.pinned and one.version == number, wait
        )
        _say_served(f"version {name_of(number)} is pinned", opened, missing)


@app.command("resume")
def resume_command(
    app: AppFolder = _SHOP, data: DataOption = _DATA, reason: Reason = "", wait: Wait = 5.0
) -> None:
    """Serve the newest version again."""
    from policy_learner.models.model_shelf import await_sidecars, resume

    with open_place(app, data) as opened:
        if not resume(opened.scripts, opened.name, reason or "resumed"):
            typer.echo("no version was pinned: the newest is served already")
            return
        missing = await_sidecars(opened.client, opened.name, lambda one: not one.pinned, wait)
        _say_served("the newest version is served again", opened, missing)


@app.command("export")
def export_command(
    version: Version,
    file: Annotated[Path, typer.Argument(help="Where to; never written over.")],
    app: AppFolder = _SHOP,
    data: DataOption = _DATA,
) -> None:
    """Write VERSION to FILE: its weights record, which carries its own checksum."""
    from policy_learner.models.model_shelf import read_model
    from sidecar.contracts.errors import BadModel
    from sidecar.contracts.models import name_of, version_of

    with open_place(app, data) as opened:
        weights, record = read_model(opened.client, opened.name, version_of(version))
    try:
        with file.open("xb") as written:
            written.write(record)
    except OSError as error:
        raise BadModel(f"{file} cannot be written: {error.strerror}") from error
    typer.echo(f"version {name_of(weights.header.version)}: {len(record):,} bytes in {file}")


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="A weights record: of `models export`, or of a checkpoint.")],
    app: AppFolder = _SHOP,
    data: DataOption = _DATA,
) -> None:
    """Keep the model in FILE, under a number of its own; `models rollback` serves it."""
    from policy_learner.models.imported import ImportedModels
    from policy_learner.models.model_shelf import take_in
    from sidecar.contracts.errors import BadModel
    from sidecar.contracts.models import name_of

    with open_place(app, data) as opened:
        try:
            imported = ImportedModels(opened.data.log(opened.name))
            version = take_in(opened.scripts, opened.application, imported, file.read_bytes(), file.name)
        except OSError as error:
            raise BadModel(f"{error.filename or file}: {error.strerror}") from error
        except ValueError as error:
            raise BadModel(f"{file}: {error}") from error
    typer.echo(f"kept as version {name_of(version)}; `sidearm models rollback {name_of(version)}` serves it")


@app.command("forget")
def forget_command(version: Version, app: AppFolder = _SHOP, data: DataOption = _DATA) -> None:
    """Keep VERSION no longer. What it decided can still be replayed."""
    from policy_learner.models.model_shelf import forget
    from sidecar.contracts.models import version_of

    with open_place(app, data) as opened:
        forget(opened.scripts, opened.name, version_of(version))
    typer.echo(f"version {version} is not kept any more")


@app.command("base")
def base_command(
    source: Annotated[
        str, typer.Argument(help="A version that is kept, or the file of a weights record; empty: only look.")
    ] = "",
    app: AppFolder = _SHOP,
    data: DataOption = _DATA,
    none: Annotated[bool, typer.Option("--none", help="Score without a base model again.")] = False,
) -> None:
    """Say which model's score is a feature of every arm (`[model.base]`), or show which one it is."""
    from policy_learner.rebase.base_models import has_learnt_from, install, installed, remove
    from sidecar.contracts.weights import decode_weights

    with open_place(app, data) as opened:
        if none:
            removed = remove(opened.client, opened.name)
            typer.echo("no base model any more" if removed else "there was no base model")
            return
        if source:
            record, note = _record_of(opened, source)
            log = opened.data.log(opened.name)
            name = install(opened.client, opened.application, log, record, note)
            base = opened.application.model.base
            if base and has_learnt_from(decode_weights(record), base.feature):
                typer.echo(f"note: it has learnt from {base.feature} itself, and will miss it", err=True)
            typer.echo(f"base model {name}, {note}: its score is a feature of every arm from now on")
            return
        found = installed(opened.client, opened.name)
        typer.echo("no base model" if found is None else f"base model {found.name}, {found.note}")


def _record_of(opened: Opened, source: str) -> tuple[bytes, str]:
    """A weights record and where it is from.

    Raises:
        BadModel: it is neither a file nor a version that is kept.
    """
    from policy_learner.models.model_shelf import read_model
    from sidecar.contracts.models import version_of

    if Path(source).is_file():
        return Path(source).read_bytes(), Path(source).name
    return read_model(opened.client, opened.name, version_of(source))[1], f"version {source}"


@app.command("backup")
def backup_command(
    to: Annotated[str, typer.Option(help="A folder, or an address such as s3://bucket/prefix.")],
    app: AppFolder = _SHOP,
    data: DataOption = _DATA,
    keep: Annotated[int, typer.Option(help="Backups that stay, newest first; 0: all.", min=0)] = 0,
) -> None:
    """Put the learner's last checkpoint (a minute old at most) and its weights there. Needs no store."""
    from policy_learner.models.backup import Place, back_up
    from sidecar.contracts.application import load_application
    from sidecar.contracts.layout import DataFolder

    application = load_application(app)
    place = Place(to, application.name)
    manifest, is_new = back_up(DataFolder(data).checkpoints(application.name), application.name, place)
    gone = place.thin(keep) if keep else []
    what = f"version {manifest.version}, {manifest.examples:,} examples"
    typer.echo(f"{what}: {'backed up' if is_new else 'is there already'} as {manifest.name} in {to}")
    for old in gone:
        typer.echo(f"deleted: version {old.version}")


@app.command("backups")
def backups_command(
    where: Annotated[str, typer.Argument(help="A folder, or an address such as s3://bucket/prefix.")],
    app: AppFolder = _SHOP,
) -> None:
    """Show the backups that are there."""
    from policy_learner.models.backup import Place
    from policy_learner.models.model_tables import print_backups
    from sidecar.contracts.application import load_application

    print_backups(Place(where, load_application(app).name).manifests())


@app.command("restore")
def restore_command(
    source: Annotated[str, typer.Option("--from", help="Where `models backup` put it.")],
    app: AppFolder = _SHOP,
    data: DataOption = _DATA,
    version: Annotated[int, typer.Option(help="Which one; 0: the newest.", min=0)] = 0,
) -> None:
    """Go on from a backup: into an empty data folder, or one with only the log. Before the learner starts."""
    from policy_learner.errors import BadBackup
    from policy_learner.models.backup import Place
    from policy_learner.models.restore import restore

    with open_place(app, data) as opened:
        place = Place(source, opened.name)
        found = [one for one in place.manifests() if version in (0, one.version)]
        if not found:
            raise BadBackup(f"no backup of {opened.name!r} of {version or 'any'} version in {source}")
        done = restore(opened.scripts, opened.application, opened.data, place.read(found[-1]))
    typer.echo(f"restored from version {found[-1].version}, {found[-1].examples:,} examples")
    if done.published:
        again = f" after {done.trained_again} versions of the log were trained again" * bool(
            done.trained_again
        )
        typer.echo(f"version {done.version} is published{again}: start the learner")
    else:
        typer.echo(f"the store holds version {done.version}: the learner will train again what came after")


def rebuild_command(
    version: Annotated[int, typer.Option(help="Which version.", min=1)],
    app: AppFolder = _SHOP,
    data: DataOption = _DATA,
    out: Annotated[Path | None, typer.Option(help="Write its weights record here instead.")] = None,
) -> None:
    """Train VERSION again from the log and keep it, if it comes out as it was published, bit for bit."""
    from policy_learner.models.model_shelf import keep
    from policy_learner.models.rebuild_version import rebuild_version
    from sidecar.contracts.application import load_application
    from sidecar.contracts.errors import BadModel
    from sidecar.contracts.layout import DataFolder

    application = load_application(app)
    weights, record = rebuild_version(application, DataFolder(data), version)
    if out is not None:
        out.write_bytes(record)
        typer.echo(f"version {version}, as it was published: {len(record):,} bytes in {out}")
        return
    with open_place(app, data) as opened:
        if not keep(opened.scripts, application, weights, record, "rebuilt"):
            raise BadModel(f"another version {version} is kept: is this the right data folder?")
    typer.echo(f"version {version}, as it was published, is kept: `sidearm models rollback {version}`")


def _say_served(what: str, opened: Opened, missing: list[Serving]) -> None:
    """What is served now; exit code 1 when a sidecar does not serve it yet."""
    from policy_learner.models.model_shelf import look
    from sidecar.contracts.models import name_of

    for one in missing:
        said = f": {one.word}" if one.word else ""
        typer.echo(f"{what}, but {one.sidecar} still serves {name_of(one.version)}{said}", err=True)
    if missing:
        raise typer.Exit(_NOT_SERVED)
    count = len(look(opened.client, opened.name).serving)
    typer.echo(f"{what}; {count} sidecar{'s' if count != 1 else ''} {'serve' if count != 1 else 'serves'} it")
