"""The page Evaluate: what every night found, what somebody asked for, and asking."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec import Struct

from decision_service.console.asking import Asking, Run
from decision_service.console.nights import Night, Shelf
from decision_service.decoding import decode
from decision_service.problem import HttpAnswer
from decision_service.service import Service
from sidecar.contracts.evaluating import EvaluationAsked, may_be_asked

_question = msgspec.json.Decoder(EvaluationAsked)
_REPORT_HEAD = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'; sandbox",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_EXPLORING = ("greedy", "epsilon:0.1")


class Offer(Struct, frozen=True):
    """What the form begins with."""

    candidates: tuple[str, ...]
    """That can be asked about without typing."""
    against: str
    days: int
    by: tuple[str, ...]


class EvaluationsView(Struct, frozen=True, kw_only=True):
    """Everything of the page but the single answers."""

    why_not: str
    """Why no evaluation can be made from here; empty: one can."""
    at: str
    """When the nightly one begins, UTC; empty: there is none."""
    offer: Offer
    running: str
    """Name of the one that runs; empty: none does."""
    runs: list[Run]
    """Asked for, the newest first."""
    nights: list[Night]
    """Of every night, the newest first."""


class EvaluationPages:
    """Makes it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._shelf = Shelf(service.evaluations)
        self._asking = Asking(
            service.application.name, service.folder, service.data, lambda: service.decider.now_ms()
        )

    async def look(self) -> EvaluationsView:
        """All of it; files are read beside the event loop."""
        return await asyncio.to_thread(self._look)

    async def answer(self, name: str) -> msgspec.Raw:
        """One evaluation, as it was written.

        Raises:
            NotFound: there is none.
        """
        return msgspec.Raw(await asyncio.to_thread(self._shelf.answer, name))

    async def report(self, name: str) -> HttpAnswer:
        """The same as a page for people: it has styles of its own, and no scripts.

        Raises:
            NotFound: there is none.
        """
        page = await asyncio.to_thread(self._shelf.page, name)
        return HttpAnswer(200, page, _REPORT_HEAD, "text/html; charset=utf-8")

    async def ask(self, body: bytes) -> Run:
        """Begin one.

        Raises:
            BadRequest: it cannot be asked so.
            NotReady: none can be made here.
            Outdated: one runs already.
        """
        return await self._asking.ask(decode(_question, body))

    async def cancel(self, name: str) -> Run:
        """End the one that runs.

        Raises:
            NotFound: it does not run.
        """
        return await self._asking.cancel(name)

    def _look(self) -> EvaluationsView:
        said: dict[str, Any] = self._service.application.evaluation
        return EvaluationsView(
            why_not=self._asking.why_not(),
            at=str(said.get("at", "")),
            offer=self._offer(said),
            running=self._asking.running(),
            runs=self._asking.runs(),
            nights=self._shelf.nights(),
        )

    def _offer(self, said: dict[str, Any]) -> Offer:
        roster = self._service.roster.current
        shadows = tuple(f"shadow:{one.name}" for one in roster.models if one.role == "shadow")
        own = tuple(one for one in said.get("candidates", ()) if may_be_asked(str(one)))
        names = dict.fromkeys([*own, "uniform", "logged", *_EXPLORING, *shadows])
        return Offer(tuple(names), str(said.get("against", "logged")), int(said.get("days", 7)), ())
