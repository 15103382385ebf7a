"""Whether what a manifest tells a container to run would be understood, found out without running it."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence

import typer
from typer.core import TyperCommand, TyperGroup

from decision_service.cli.main import root

_USAGE_ERROR = typer.BadParameter.__bases__[0]
"""Of the parser that typer carries inside itself, which has no public name."""


def fault(words: Sequence[str]) -> str:
    """Why the words would be refused; empty when they would not.

    >>> fault(["sidearm", "log", "compact", "--retain"]), fault(["python", "-m", "policy_learner"])
    ('', '')
    >>> fault(["sidearm", "status", "--no-such-option"])
    'sidearm status: No such option: --no-such-option'
    """
    match list(words):
        case ["python", "-m", module, *_]:
            return "" if exists(module) else f"there is no module {module}"
        case ["sidearm", *rest]:
            return _sidearm_fault(rest)
    return f"{' '.join(words) or 'nothing'}: no command of ours"


def exists(module: str) -> bool:
    """Whether ``python -m module`` has something to run."""
    try:
        found = importlib.util.find_spec(module)
        if found is not None and found.submodule_search_locations is not None:
            found = importlib.util.find_spec(f"{module}.__main__")
    except ModuleNotFoundError:
        return False
    return found is not None


def _sidearm_fault(rest: list[str]) -> str:
    command, said = _root(), "sidearm"
    while isinstance(command, TyperGroup):
        if not rest or rest[0] not in command.commands:
            return f"{said}: no command {rest[0] if rest else '?'}; legal: {', '.join(command.commands)}"
        said, command, rest = f"{said} {rest[0]}", command.commands[rest[0]], rest[1:]
    try:
        command.make_context(said, rest)
    except _USAGE_ERROR as error:
        return f"{said}: {error.format_message()}"
    return ""


@functools.cache
def _root() -> TyperCommand | TyperGroup:
    return typer.main.get_command(root())
