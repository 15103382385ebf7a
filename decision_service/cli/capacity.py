"""``sidearm capacity``: what so many decisions a second take of machines, memory, disk and network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from decision_service.capacity.sizing import Demand


def capacity_command(
    decisions_per_second: Annotated[
        float, typer.Option(help="At the peak that must be answered in time.", min=0.001)
    ],
    app: Annotated[
        Path | None, typer.Option(help="An application's folder: horizon, tombstone and arms are its own.")
    ] = None,
    horizon: Annotated[
        float | None,
        typer.Option(help="Seconds a decision waits for its rewards. [default: 1800]", min=0.001),
    ] = None,
    tombstone: Annotated[
        float | None, typer.Option(help="Seconds it is remembered after. [default: 86400]", min=0.001)
    ] = None,
    arms: Annotated[int | None, typer.Option(help="Arms a decision. [default: 20]", min=1)] = None,
    per_session: Annotated[float, typer.Option(help="Decisions of one session.", min=1.0)] = 1.0,
    average: Annotated[
        float, typer.Option(help="Mean load, as a share of the peak.", min=0.001, max=1.0)
    ] = 1.0,
    replicas: Annotated[int, typer.Option(help="Of each primary of the store.", min=0, max=5)] = 1,
    node_gb: Annotated[float, typer.Option(help="Memory limit of a node of the store.", min=0.1)] = 64.0,
    bench: Annotated[
        Path | None, typer.Option(help="build/bench.json of your own `make bench`, in place of our figures.")
    ] = None,
) -> None:
    """Say what so many decisions a second need, and what each part of that is made of.

    An estimate from what one decision was measured to take, for planning; docs/capacity.md explains it.
    """
    from rich.console import Console
    from rich.table import Table

    from decision_service.capacity.costs import Costs, of_bench
    from decision_service.capacity.showing import rows
    from decision_service.capacity.sizing import Demand, need

    demand = Demand(
        decisions_per_s=decisions_per_second,
        per_session=per_session,
        average=average,
        node_gb=node_gb,
        replicas=replicas,
    )
    demand = _with(_own(demand, app) if app else demand, horizon, tombstone, arms)
    costs = of_bench(bench) if bench else Costs()
    table = Table(
        f"{decisions_per_second:,.10g} decisions a second",
        "",
        f"horizon {demand.horizon_s:,.10g} s, remembered {demand.tombstone_s:,.10g} s, {demand.arms:,} arms",
        box=None,
        pad_edge=False,
    )
    for row in rows(demand, costs, need(demand, costs)):
        table.add_row(*row)
    Console().print(table, highlight=False)


def _own(demand: Demand, folder: Path) -> Demand:
    """With what an application says."""
    import msgspec

    from sidecar.contracts.application import load_application
    from sidecar.contracts.catalogue import load_catalogue

    application = load_application(folder)
    return msgspec.structs.replace(
        demand,
        horizon_s=application.reward.horizon_s,
        tombstone_s=application.reward.tombstone_s,
        arms=len(load_catalogue(folder, application).arms),
    )


def _with(demand: Demand, horizon_s: float | None, tombstone_s: float | None, arms: int | None) -> Demand:
    """With what was typed."""
    import msgspec

    typed = {"horizon_s": horizon_s, "tombstone_s": tombstone_s, "arms": arms}
    return msgspec.structs.replace(
        demand, **{name: value for name, value in typed.items() if value is not None}
    )
