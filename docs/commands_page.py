"""Write ``docs/commands.md`` from the commands themselves, and the processes' own words.

``python -m docs.commands_page`` writes it, ``make fmt`` calls that, and ``tests/test_docs.py`` holds the page
against the code.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from decision_service.cli.main import root

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("commands.md")
_HEAD = """\
# Commands

Every command of `sidearm`, as `sidearm COMMAND --help` tells of it. Exit codes: 0 done, 1 something is wrong with what was looked at, 2 refused for what was typed or configured, in one line that says why.

`SIDEARM_APP` and `SIDEARM_DATA` stand in for the application's folder and the data folder wherever a command takes them; `REDIS_URL` or `REDIS_URL_FILE` names a store that `sidearm up` did not start, `FEATURE_STORE_URL` or `FEATURE_STORE_URL_FILE` one for tables of features.

This page is written by `make fmt` from the code; a test holds it against the code. What the processes of the platform are started with is in [settings.md](settings.md).
"""  # noqa: E501 - one sentence a line


class Command(NamedTuple):
    """One that can be typed."""

    name: str
    """``sidearm models rollback``"""
    command: TyperCommand

    @property
    def context(self) -> typer.Context:
        """As if it were called, without being so."""
        return typer.Context(self.command, info_name=self.name)


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(command) for command in commands())])


def commands() -> list[Command]:
    """All of them, by name."""
    return sorted(_below(typer.main.get_command(root()), "sidearm"))


def named() -> set[str]:
    """The names of commands and of their groups: ``models``, ``models rollback``."""
    words = [command.name.split()[1:] for command in commands()]
    return {" ".join(name[:n]) for name in words for n in range(1, len(name) + 1)}


def registered() -> set[str]:
    """What ``pyproject.toml`` registers: a command that cannot be loaded here is seen to be missing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["entry-points"]["sidearm.commands"])


def _below(command: TyperCommand | TyperGroup, name: str) -> Iterator[Command]:
    if not isinstance(command, TyperGroup):
        yield Command(name, command)
        return
    for word, inner in command.commands.items():
        yield from _below(inner, f"{name} {word}")


def _section(one: Command) -> str:
    usage = " ".join(one.command.collect_usage_pieces(one.context))
    usage = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), usage)
    lines = [f"## {one.name}\n", f"`{one.name} {usage}`\n", f"{_told(one.command)}\n"]
    rows = list(_rows(one))
    if rows:
        lines += ["| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _told(command: TyperCommand) -> str:
    """Its help, paragraphs as they are, lines of one joined."""
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text))


def _rows(one: Command) -> Iterator[str]:
    for parameter in one.command.params:
        record = parameter.get_help_record(one.context)
        if record is None:
            continue
        said, about = record
        if isinstance(parameter, TyperArgument):
            said = said.upper().partition(" ")[0]
        yield f"| `{_cell(said)}` | {_cell(about)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
