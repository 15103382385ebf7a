"""The root of ``sidearm``: every package registers its commands in ``sidearm.commands``.

A command is a function (one command) or a ``typer.Typer`` (a group). Their modules import what is heavy only
when they run, so that ``sidearm --help`` stays fast.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint, entry_points

import typer

from decision_service.cli.errors import ProcessDied
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.process_log import crashed, is_json, last_word, log_as, log_settings

GROUP = "sidearm.commands"
BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130


def main() -> None:
    """Run the command line; what is refused on purpose is one line and exit code 2."""
    try:
        if log_settings(os.environ).format == "json":  # in a pod; before a person there are only its words
            log_as(os.environ)
        root()()
    except ProcessDied as error:
        last_word("sidearm", error)
        sys.exit(FAILED)
    except SidearmError as error:
        last_word("sidearm", error)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not is_json():
            raise
        crashed(error)
        sys.exit(FAILED)


def root() -> typer.Typer:
    """The command line with everything that is installed."""
    app = typer.Typer(
        name="sidearm",
        help="Contextual-bandit recommendations: run the platform, look at it, evaluate its logs.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"max_content_width": 120},
        rich_markup_mode=None,  # drawing the help with rich takes twice as long as all the rest
    )
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        _add(app, entry)
    return app


def _add(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        command = entry.load()
    except ModuleNotFoundError as error:
        missing = error.name

        def unavailable() -> None:
            raise typer.BadParameter(f"`sidearm {entry.name}` needs {missing}, which is not installed here")

        app.command(entry.name, help=f"(not installed: {missing})")(unavailable)
        return
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=entry.name)
    else:
        app.command(entry.name)(command)


if __name__ == "__main__":
    main()
