"""``sidearm models deploy|undeploy|promote|share``: which models score, changed while everything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_learner.models.opened import DATA, SHOP, AppFolder, DataOption, Opened, open_place

# Numbers and redis take a while to import: `sidearm --help` must not.
if TYPE_CHECKING:
    from sidecar.contracts.application import Exploration
    from sidecar.contracts.roster import Model, Role, Roster
    from sidecar.contracts.rostering import Change

_SCHEME = "Its own exploration: epsilon_greedy, softmax, squarecb or uniform; left out: the decision's."
Name = Annotated[str, typer.Argument(help="Of the model, as it is logged with its decisions.")]


def deploy_command(
    name: Name,
    app: AppFolder = SHOP,
    data: DataOption = DATA,
    role: Annotated[str, typer.Option(help="challenger, shadow, champion, canary or decoy.")] = "shadow",
    version: Annotated[str, typer.Option(help="live, or a version that is kept: 1234, i1.")] = "live",
    file: Annotated[Path | None, typer.Option(help="A weights record, which is imported first.")] = None,
    share: Annotated[float, typer.Option(help="Of the traffic (challenger); of the inputs (decoy).")] = 0.0,
    priority: Annotated[int, typer.Option(help="The highest stands in for a silent champion.")] = 0,
    wait_ms: Annotated[int | None, typer.Option(help="How long a decision waits for it.")] = None,
    scheme: Annotated[str | None, typer.Option(help=_SCHEME)] = None,
    epsilon: Annotated[float | None, typer.Option(help="Of its own exploration.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Likewise (softmax).")] = None,
    gamma: Annotated[float | None, typer.Option(help="Likewise (squarecb).")] = None,
    floor: Annotated[float | None, typer.Option(help="Likewise: no arm is less likely.")] = None,
    container: Annotated[str, typer.Option(help="A model container of its own; empty: the sidecar.")] = "",
) -> None:
    """Let NAME score from now on, in every replica within a second. Another under that name is replaced."""
    from sidecar.contracts.roster import Model
    from sidecar.contracts.roster_changes import with_model

    own = {"scheme": scheme, "epsilon": epsilon, "temperature": temperature, "gamma": gamma, "floor": floor}
    with open_place(app, data) as opened:
        number = _imported(opened, file) if file is not None else _kept(opened, version)
        model = Model(
            name=name,
            role=_role(role),
            version=number,
            share=share,
            priority=priority,
            wait_ms=wait_ms,
            exploration=_exploration(opened, own),
            container=container,
        )
        _change(opened, lambda roster: with_model(roster, model), f"deploy {name} as {role}")
        _look_for_container(opened, model)


def undeploy_command(name: Name, app: AppFolder = SHOP, data: DataOption = DATA) -> None:
    """Let NAME score no more. What it decided stays, and can be replayed."""
    from sidecar.contracts.roster_changes import without_model

    with open_place(app, data) as opened:
        _change(opened, lambda roster: without_model(roster, name), f"undeploy {name}")


def promote_command(name: Name, app: AppFolder = SHOP, data: DataOption = DATA) -> None:
    """Make NAME the champion; the one before stays as a challenger without a share."""
    from sidecar.contracts.roster_changes import promoted

    with open_place(app, data) as opened:
        _change(opened, lambda roster: promoted(roster, name), f"promote {name} by hand")


def share_command(
    name: Name,
    share: Annotated[float, typer.Argument(help="Of the traffic, 0 to 1.", min=0.0, max=1.0)],
    app: AppFolder = SHOP,
    data: DataOption = DATA,
) -> None:
    """Change the share of the traffic that challenger NAME answers."""
    import msgspec

    from sidecar.contracts.roster_changes import with_model

    def change(roster: Roster) -> Roster:
        return with_model(roster, msgspec.structs.replace(roster.named(name), share=share))

    with open_place(app, data) as opened:
        _change(opened, change, f"share of {name}: {share:g}")


DEPLOYING: dict[str, Callable[..., None]] = {
    "deploy": deploy_command,
    "undeploy": undeploy_command,
    "promote": promote_command,
    "share": share_command,
}
"""Command to what does it."""


def _change(opened: Opened, change: Change, what: str) -> None:
    from policy_learner.models.model_tables import print_roster
    from sidecar.contracts.rostering import change_roster

    print_roster(change_roster(opened.scripts, opened.name, change, what))


def _kept(opened: Opened, version: str) -> int:
    """A version's number; the newest is kept from now on, since it will be asked for again.

    Raises:
        BadModel: it is not kept.
    """
    from policy_learner.models.model_shelf import keep, read_model
    from sidecar.contracts.models import version_of
    from sidecar.contracts.roster import LIVE

    if version == "live":
        return LIVE
    weights, record = read_model(opened.client, opened.name, version_of(version))
    keep(opened.scripts, opened.application, weights, record, "published")
    return weights.header.version


def _imported(opened: Opened, file: Path) -> int:
    """The number under which the record in ``file`` is kept from now on.

    Raises:
        BadModel: it cannot be read, or is of another model than ``app.toml`` describes.
    """
    from policy_learner.models.imported import ImportedModels
    from policy_learner.models.model_shelf import take_in
    from sidecar.contracts.errors import BadModel

    imported = ImportedModels(opened.data.log(opened.name))
    try:
        return take_in(opened.scripts, opened.application, imported, file.read_bytes(), file.name)
    except OSError as error:
        raise BadModel(f"{error.filename or file}: {error.strerror}") from error


def _role(role: str) -> Role:
    import msgspec

    from sidecar.contracts.errors import BadModel
    from sidecar.contracts.roster import Role

    try:
        found: Role = msgspec.convert(role, Role)
        return found
    except msgspec.ValidationError as error:
        legal = "champion, challenger, shadow, decoy, canary"
        raise BadModel(f"{role!r} is no role of a model: legal are {legal}") from error


def _look_for_container(opened: Opened, model: Model) -> None:
    """Say so if nothing is there yet: it may come later, and may listen on other machines only."""
    socket = opened.data.sidecar_socket(opened.name, model.container)
    if model.container and not socket.exists():
        typer.echo(f"nothing listens at {socket} yet: until a container does, {model.name} does not answer")


def _exploration(opened: Opened, own: Mapping[str, object]) -> Exploration | None:
    """None: as the decision's.

    Raises:
        BadModel: there is no such exploration.
    """
    import msgspec

    from sidecar.contracts.application import ExplorationConfig
    from sidecar.contracts.checking import checked
    from sidecar.contracts.errors import BadModel
    from sidecar.policy.exploration import SCHEMES

    given = {name: value for name, value in own.items() if value is not None}
    if not given:
        return None
    whole = msgspec.structs.asdict(opened.application.exploration) | given
    if given.get("scheme", "uniform") not in SCHEMES:
        raise BadModel(f"{given['scheme']!r} is no scheme of exploration: legal are {', '.join(SCHEMES)}")
    return checked(whole, ExplorationConfig, "its own exploration", BadModel).as_logged()
