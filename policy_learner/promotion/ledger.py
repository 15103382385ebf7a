"""All contests of an application: decisions in, standings out. No store, no clock."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct, field

from policy_learner.promotion.contest import Laps, Span, count, standing
from policy_learner.promotion.heard import Heard, Matured, heard
from policy_learner.promotion.watch import Watched, figures, watch
from sidecar.contracts.application import Application
from sidecar.contracts.contests import Contest, ModelFigures
from sidecar.contracts.roster import FIRST_ROSTER, Model, Role, Roster

CONTENDERS: tuple[Role, ...] = ("challenger", "shadow")
"""Roles that are compared with the champion."""


class Book(Struct):
    """What is known, by :func:`identity`: all that a restart goes on from."""

    contests: dict[str, Laps] = field(default_factory=dict)
    """Champion and challenger to their contest."""
    watched: dict[str, Watched] = field(default_factory=dict)


class Ledger:
    """Counts decisions for every model of the roster.

    Args:
        application: whose models they are.
    """

    def __init__(self, application: Application) -> None:
        self._config, self._span = application.promotion, span_of(application)
        self.roster, self.book = FIRST_ROSTER, Book()

    @property
    def contenders(self) -> list[Model]:
        """Who is compared with the champion."""
        return [one for one in self.roster.models if one.role in CONTENDERS]

    @property
    def is_needed(self) -> bool:
        """Whether more than one model scores; of one alone the learner's own figures say all."""
        return sum(one.role != "decoy" for one in self.roster.models) > 1

    def go_on(self, roster: Roster, book: Book | None = None) -> None:
        """With these models from now on. What is known of others is forgotten.

        Args:
            roster: the models.
            book: what is known; None: what was known before.
        """
        self.roster, old = roster, book or self.book
        if not self.is_needed:
            self.book = Book()
            return
        pairs = {self._pair(roster.champion, one) for one in self.contenders}
        models = set(map(identity, roster.models))
        self.book = Book(
            {pair: laps for pair, laps in old.contests.items() if pair in pairs},
            {model: watched for model, watched in old.watched.items() if model in models},
        )

    def count(self, decisions: Iterable[Matured], at_ms: int = 0) -> None:
        """Take note of decisions that were finalised, each once.

        Those that overload thinned out are not made up for: what is said is said of what was logged.

        Args:
            decisions: whatever models they heard.
            at_ms: the stream's clock at the end of them.
        """
        for group in heard(decisions, {one.name: one for one in self.roster.models}):
            places = {one.name: group.place(one) for one in self.roster.models}
            for model in self.roster.models:
                if (place := places[model.name]) is not None:
                    watched = self.book.watched.setdefault(identity(model), Watched())
                    watch(watched, group, place, at_ms)
            if (theirs := places[self.roster.champion.name]) is not None:
                self._compare(group, theirs, places)

    def _compare(self, group: Heard, theirs: int, places: dict[str, int | None]) -> None:
        for one in self.contenders:
            if (ours := places[one.name]) is not None:
                laps = self.book.contests.setdefault(self._pair(self.roster.champion, one), Laps())
                count(laps, group, ours, theirs, self._span, self._config.lap)

    def contests(self) -> tuple[Contest, ...]:
        """How each contender stands against the champion, where decisions say something of both."""
        champion, contests = self.roster.champion, self.book.contests
        found = [(one, contests.get(self._pair(champion, one))) for one in self.contenders]
        return tuple(
            [
                standing(laps, (champion.name, one.name), self._config, self._span, self._rivals(one))
                for one, laps in found
                if laps is not None
            ]
        )

    def _rivals(self, model: Model) -> int:
        """How many models share the error with this one. Shadows are not promoted and take none of it."""
        among = (
            self.contenders if model.role == "shadow" else [one for one in self.contenders if one.can_answer]
        )
        return len(among)

    def figures(self) -> tuple[ModelFigures, ...]:
        """What is known of each model alone."""
        found = [(one.name, self.book.watched.get(identity(one))) for one in self.roster.models]
        return tuple([figures(name, watched) for name, watched in found if watched is not None])

    def _pair(self, champion: Model, challenger: Model) -> str:
        """Sums are in units of the rewards' span: with another one it is another contest."""
        return f"{identity(champion)} | {identity(challenger)} | {self._span.lowest} {self._span.highest}"


def identity(model: Model) -> str:
    """Of a model: with other weights, or another exploration, it is another one."""
    explores = msgspec.json.encode(model.exploration).decode()
    return f"{model.name} {model.version} {model.container} {explores}"


def span_of(application: Application) -> Span:
    """Between which bounds rewards are counted; if they are one, a unit apart."""
    config, values = application.promotion, [application.reward.default, *application.reward.events.values()]
    lowest = min(values) if config.lowest is None else config.lowest
    highest = max(values) if config.highest is None else config.highest
    return Span(lowest, highest if highest > lowest else lowest + 1.0)
