"""What goes wrong in an application's own nodes and rules: counted, and told once of each kind.

No decision fails for it, so nobody would hear of it otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar

from decision_service.feature_values import UNUSABLE
from feature_graph import Resolution, Resolutions, Status

Watch = Callable[[Resolution, object], None]
"""Is shown every run, and what it was for."""
watching: ContextVar[Watch | None] = ContextVar("watching", default=None)
"""Set while somebody looks at a decision."""

log = logging.getLogger("sidearm.decision_service")

Count = Callable[[str, str], None]
"""Counts a mishap: the node, and its kind."""
BLOCKED = "blocked"
_TOLD_S = 0.05
"""Less than that may be the doing of a busy machine, and is only counted."""
_OWN = (Status.FAILED, Status.TIMED_OUT, Status.FALLBACK)
"""Of the node itself; what failed behind it has mishaps of its own."""


class Mishaps:
    """Of one process.

    Args:
        count: is told each of them.
        watch: is shown every run of the graph, whether or not anything failed.
    """

    def __init__(
        self,
        count: Count = lambda node, kind: None,
        watch: Callable[[Resolution], None] = lambda found: None,
    ) -> None:
        self._count, self._watch = count, watch
        self._told: set[tuple[str, str, str]] = set()

    def look(self, found: Resolution, of: object = None) -> None:
        """Note what failed in a run of the graph, and what held up everybody else.

        Args:
            found: the run.
            of: the request that it was for; None: for everybody.
        """
        if (watch := watching.get()) is not None:
            watch(found, of)
        self._watch(found)
        if not found.whole:
            for node, outcome in found.outcomes.items():
                if outcome.status in _OWN and node not in found.given:
                    self._note(node, outcome.status.value, outcome.describe(), type(outcome.error).__name__)
        for node, seconds in found.blocked.items():
            told = f"held the event loop for {1000 * seconds:.0f} ms, in which nobody else was served"
            self._note(node, BLOCKED, told if seconds >= _TOLD_S else "")

    def look_at_all(self, found: Resolutions, of: Sequence[object]) -> None:
        """The same for runs side by side; where all went well, one of them stands for all."""
        if found.all_well and watching.get() is None:
            self._watch(found[0])
            return
        for one, request in zip(found, of, strict=True):
            self.look(one, request)

    def unusable(self, outcomes: Mapping[str, str]) -> None:
        """Note the nodes whose values can be used for nothing."""
        if UNUSABLE in outcomes.values():
            for node in [name for name, how in outcomes.items() if how == UNUSABLE]:
                self._note(node, UNUSABLE, "gives what can be used for nothing: see docs/features.md")

    def unusable_of_all(self, outcomes: Sequence[Mapping[str, str]]) -> None:
        """The same for many, most of which are one mapping."""
        if any(UNUSABLE in one.values() for one in {id(one): one for one in outcomes}.values()):
            for one in outcomes:
                self.unusable(one)

    def unheard(self, rule: str, arms: tuple[str, ...]) -> None:
        """Note a rule that answers with what is no arm of anybody's."""
        self._note(rule, UNUSABLE, f"answers with {arms[0]!r}, which is no arm of the catalogue", "unheard")

    def _note(self, node: str, kind: str, told: str, error: str = "") -> None:
        self._count(node, kind)
        if told and (node, kind, error) not in self._told:
            self._told.add((node, kind, error))
            log.warning("%s: %s; others of this kind are counted, not told", node, told)
