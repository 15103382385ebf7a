"""``sidearm explore``: how an application explores, everywhere and in segments, changed while it serves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from decision_service.cli.explore_options import changed, check_rule, segment_of, share_of, where_of
from decision_service.cli.explore_words import show

if TYPE_CHECKING:  # `sidearm --help` must not wait for them
    from sidecar.contracts.application import Application
    from sidecar.contracts.exploring import Exploring
    from sidecar.contracts.exploring_store import Change
    from sidecar.contracts.store import Scripts

App = Annotated[Path, typer.Option(help="The application's folder.", envvar="SIDEARM_APP")]
Data = Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")]
Scheme = Annotated[str | None, typer.Option(help="epsilon_greedy, softmax, squarecb or uniform.")]
Number = float | None
Epsilon = Annotated[Number, typer.Option(help="Share spread evenly over all arms (epsilon_greedy).")]
Control = Annotated[Number, typer.Option(help="Share drawn uniformly on top.")]
Temperature = Annotated[Number, typer.Option(help="What makes an arm e times as likely (softmax).")]
Gamma = Annotated[Number, typer.Option(help="How rarely worse arms are drawn (squarecb).")]
Floor = Annotated[Number, typer.Option(help="No arm is less likely.")]
Name = Annotated[str, typer.Argument(help="Of the segment.")]
_PARAMETERS = ("scheme", "epsilon", "control_share", "temperature", "gamma", "floor")
_SHOP, _DATA = Path("examples/shop"), Path("data")

app = typer.Typer(help="Exploration and segments, changed while everything runs.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Exploration and segments, changed while everything runs."""


@app.command("show")
def show_command(app: App = _SHOP, data: Data = _DATA) -> None:
    """Show how decisions explore: everywhere, and in segments in the order in which they are asked."""
    from sidecar.contracts.exploring_store import read_exploring

    with _opened(app, data) as (application, scripts, arms):
        show(application, read_exploring(scripts.client, application.name), arms)


@app.command("set")
def set_command(
    scheme: Scheme = None,
    epsilon: Epsilon = None,
    control_share: Control = None,
    temperature: Temperature = None,
    gamma: Gamma = None,
    floor: Floor = None,
    app: App = _SHOP,
    data: Data = _DATA,
) -> None:
    """Change how decisions explore everywhere but in segments that say otherwise. What is left out stays."""
    from sidecar.contracts.errors import BadSegment

    given = _given(scheme, epsilon, control_share, temperature, gamma, floor)
    if not given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in _PARAMETERS)
        raise BadSegment(f"nothing to set: name {options}")
    with _opened(app, data) as (application, scripts, arms):

        def change(now: Exploring) -> Exploring:
            fresh = changed(now.everywhere or application.exploration, given)
            return type(now)(fresh, now.segments, now.revision)

        _change(application, scripts, arms, change, f"everywhere: {given}")


@app.command("reset")
def reset_command(app: App = _SHOP, data: Data = _DATA) -> None:
    """Explore everywhere as app.toml says again. Segments stay."""
    with _opened(app, data) as (application, scripts, arms):
        _change(application, scripts, arms, lambda now: type(now)(None, now.segments, now.revision), "reset")


@app.command("segment")
def segment_command(
    name: Name,
    where: Annotated[
        list[str] | None, typer.Option(help="FEATURE=VALUE; one feature may have several values. Repeat it.")
    ] = None,
    rule: Annotated[str, typer.Option(help="A function that [rules] names in `segments`.")] = "",
    units: Annotated[str, typer.Option(help="Share of the units, such as 0-0.1.")] = "0-1",
    salt: Annotated[str, typer.Option(help="Segments of one salt divide the units among them.")] = "",
    before: Annotated[str, typer.Option(help="Ask it before that segment; else last.")] = "",
    scheme: Scheme = None,
    epsilon: Epsilon = None,
    control_share: Control = None,
    temperature: Temperature = None,
    gamma: Gamma = None,
    floor: Floor = None,
    app: App = _SHOP,
    data: Data = _DATA,
) -> None:
    """Add segment NAME, or replace it. Without a word on exploration it is a label for evaluations."""
    from sidecar.contracts.exploring import with_segment

    given = _given(scheme, epsilon, control_share, temperature, gamma, floor)
    low, high = share_of(units)
    with _opened(app, data) as (application, scripts, arms):
        check_rule(application, rule)
        what = {
            "name": name,
            "where": where_of(where or []),
            "rule": rule,
            "units_from": low,
            "units_to": high,
            "salt": salt,
        }

        def change(now: Exploring) -> Exploring:
            own = changed(now.everywhere or application.exploration, given) if given else None
            return with_segment(now, segment_of({**what, "exploration": own}), before)

        _change(application, scripts, arms, change, f"segment {name}")


@app.command("remove")
def remove_command(name: Name, app: App = _SHOP, data: Data = _DATA) -> None:
    """Take a segment out. Its decisions go on as everywhere, or in the next segment that they are in."""
    from sidecar.contracts.exploring import without_segment

    with _opened(app, data) as (application, scripts, arms):
        _change(application, scripts, arms, lambda now: without_segment(now, name), f"remove {name}")


@contextmanager
def _opened(app: Path, data: Path) -> Iterator[tuple[Application, Scripts, int]]:
    """The application, its store, and how many arms it begins with."""
    from sidecar.contracts.application import load_application
    from sidecar.contracts.catalogue import load_catalogue
    from sidecar.contracts.errors import BadSettings
    from sidecar.contracts.layout import DataFolder
    from sidecar.contracts.store import Scripts, StoreError, connect
    from sidecar.contracts.store_address import store_address, without_password

    application = load_application(app)
    url = store_address(os.environ, DataFolder(data))
    try:
        with connect(url) as client:
            yield application, Scripts.on(client), len(load_catalogue(app, application).arms)
    except StoreError as error:
        raise BadSettings(
            f"no store answers at {without_password(url)} ({error}): is `sidearm up` running?"
        ) from error


def _given(*values: str | float | None) -> dict[str, str | float]:
    return {name: value for name, value in zip(_PARAMETERS, values, strict=True) if value is not None}


def _change(application: Application, scripts: Scripts, arms: int, change: Change, what: str) -> None:
    from sidecar.contracts.exploring_store import change_exploring

    show(application, change_exploring(scripts, application.name, change, what), arms)
