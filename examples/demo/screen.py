"""What the demo shows: bars with live figures on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

PLAIN_WIDTH = 130
PLAIN_EVERY_S = 5.0

Show = Callable[[int, str], None]
"""Told how much is done, and a line of figures."""


class Screen:
    """Where the demo prints.

    Args:
        console: of rich.
        now_s: a clock, in seconds.
    """

    def __init__(self, console: Console, now_s: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self._now_s = now_s
        self._started_s = now_s()

    def heading(self, text: str) -> None:
        """A new part of the demo, with the time since the start."""
        self.console.print(f"\n[bold]== {text}[/]  [dim]{self._now_s() - self._started_s:.0f} s[/]")

    def say(self, text: str) -> None:
        """One line, not wrapped, so that paths can be copied."""
        self.console.print(text, soft_wrap=True, highlight=False)

    def table(self, table: Table) -> None:
        """A table."""
        self.console.print(table)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Show]:
        """A bar with a line of figures; without a terminal, a line every few seconds and one at the end."""
        if not self.console.is_terminal:
            yield from self._lines(title, total)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=total, note="")
            yield lambda done, note: progress.update(task, completed=done, note=note)

    def _lines(self, title: str, total: int) -> Iterator[Show]:
        last = (self._now_s(), 0)

        def show(done: int, note: str) -> None:
            nonlocal last
            if done != last[1] and (self._now_s() - last[0] >= PLAIN_EVERY_S or done >= total):
                last = (self._now_s(), done)
                self.say(f"  {title} {done:,}/{total:,}  {note}".rstrip())

        yield show


def make_console() -> Console:
    """The console of this process; wide and without control characters when nobody looks."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH, no_color=True, force_terminal=False)
