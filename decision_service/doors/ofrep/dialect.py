"""OFREP's two operations, on flags that the application has."""

from __future__ import annotations

from collections.abc import Mapping

from decision_service.doors.foreign import Operation, Visit
from decision_service.doors.ofrep.evaluation import Evaluator
from decision_service.doors.ofrep.refusals import refusal_of
from decision_service.errors import NotFound, WrongMethod
from decision_service.problem import HttpAnswer
from decision_service.service import Service
from sidecar.contracts.application import Application
from sidecar.contracts.flags_section import FlagConfig

_FLAGS = ("v1", "evaluate", "flags")


class Ofrep:
    """The dialect of OpenFeature's remote evaluation."""

    name = "ofrep"
    prefix = b"/ofrep/"

    def __init__(self, service: Service) -> None:
        most, catalogues = service.settings.max_body_bytes, service.catalogues
        does = Evaluator(
            flags_of(service.application),
            service.asking,
            lambda: catalogues.current,
            service.decider.now_ms,
        )
        self._one = Operation("ofrep_one", "decide", does.one, most)
        self._all = Operation("ofrep_all", "decide", does.all, most)

    def claims(self, path: bytes) -> bool:
        """All below the prefix."""
        return True

    def find(self, visit: Visit) -> Operation:
        """The operation.

        Raises:
            NotFound: the path is none of OFREP's.
            WrongMethod: it is, and takes POST.
        """
        operations = {3: self._all, 4: self._one}
        found = operations.get(len(visit.parts)) if visit.parts[:3] == _FLAGS else None
        if found is None:
            raise NotFound("no such path: POST /ofrep/v1/evaluate/flags, and one flag below it")
        if visit.method != "POST":
            raise WrongMethod(("POST",))
        return found

    def authorization(self, visit: Visit) -> str:
        """A bearer token, or ``X-API-Key``."""
        key = visit.header(b"x-api-key").strip()
        return visit.header(b"authorization") or (f"Bearer {key}" if key else "")

    def refusal(self, visit: Visit, error: BaseException) -> HttpAnswer:
        """By flag, where one was asked for."""
        return refusal_of(error, visit.parts[-1] if len(visit.parts) > len(_FLAGS) else "")


def flags_of(application: Application) -> Mapping[str, FlagConfig]:
    """Those of the file; and the application itself, if none has its name."""
    return {application.name: FlagConfig()} | application.flags
