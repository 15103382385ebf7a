"""Decisions that only the Parquet log has, read by a child where it can be."""

from __future__ import annotations

from pathlib import Path

import msgspec

from decision_service.console.children import Questions, lacking
from decision_service.errors import NotReady
from sidecar.contracts.looking import Looked, Sought

_TIMEOUT_S = 20.0
_MODULE = "offline_eval.finding"
_answer = msgspec.json.Decoder(Looked)


class LogReader:
    """Looks into one application's log.

    Args:
        log: its folder.
    """

    def __init__(self, log: Path) -> None:
        self._log, self._questions = log, Questions(_TIMEOUT_S)

    def why_not(self) -> str:
        """Why nothing can be looked into from here; empty: it can."""
        if name := lacking("offline_eval", "duckdb", "pyarrow"):
            return f"{name} is not installed beside this service, so it cannot read the Parquet log"
        if not (self._log / "decisions").is_dir():
            return "nothing was archived yet, or the Parquet log lies where this service cannot see it"
        return ""

    async def look(self, sought: Sought) -> Looked:
        """The newest decisions that are as ``sought`` says.

        Raises:
            NotReady: they cannot be had.
            Overloaded: others are looking.
        """
        answer = await self._questions.ask(_MODULE, str(self._log), question=msgspec.json.encode(sought))
        try:
            looked = _answer.decode(answer)
        except msgspec.MsgspecError as error:
            raise NotReady(f"whoever reads the log said what is no answer: {error}") from error
        if looked.failed:
            raise NotReady(looked.failed)
        return looked
