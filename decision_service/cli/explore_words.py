"""What `sidearm explore` prints: how decisions explore, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:  # `sidearm --help` must not wait for them
    from sidecar.contracts.application import Application, ExplorationConfig
    from sidecar.contracts.exploring import Exploring, Segment


def show(application: Application, exploring: Exploring, arms: int) -> None:
    """Print how decisions explore, everywhere and in each segment."""
    everywhere = exploring.everywhere or application.exploration
    source = f"revision {exploring.revision}" if exploring.everywhere else "as app.toml says"
    typer.echo(f"everywhere ({source}): {_told(everywhere)}{_drowned(everywhere, arms)}")
    for segment in exploring.segments:
        own = "as everywhere"
        if segment.exploration:
            own = f"{_told(segment.exploration)}{_drowned(segment.exploration, arms)}"
        typer.echo(f"{segment.name}: {_conditions(segment)}: {own}")


def _told(exploration: ExplorationConfig) -> str:
    """The scheme with the parameters that it has."""
    own = {"epsilon_greedy": "epsilon", "softmax": "temperature", "squarecb": "gamma"}.get(exploration.scheme)
    parts = [] if own is None else [f"{own} {getattr(exploration, own):g}"]
    parts += [f"floor {exploration.floor:g}"] * bool(exploration.floor)
    return ", ".join([exploration.scheme, *parts, f"control share {exploration.control_share:g}"])


def _drowned(exploration: ExplorationConfig, arms: int) -> str:
    """A word of warning where the floor leaves nothing to the scores."""
    if exploration.scheme == "uniform" or exploration.floor * arms < 1.0:
        return ""
    return f" (the floor is no less than 1/{arms}: all {arms} arms are alike)"


def _conditions(segment: Segment) -> str:
    parts = [f"{name} is {' or '.join(map(str, values))}" for name, values in segment.where.items()]
    if segment.units_from > 0.0 or segment.units_to < 1.0:
        salt = f" under {segment.salt!r}" if segment.salt else ""
        parts.append(f"units {segment.units_from:g} to {segment.units_to:g}{salt}")
    if segment.rule:
        parts.append(f"rule {segment.rule}")
    return ", ".join(parts) or "all decisions"
