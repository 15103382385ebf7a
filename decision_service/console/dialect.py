"""The console's JSON behind the door that all dialects share: keys, sessions, admission, refusals."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from decision_service.console.files import GUARDS
from decision_service.console.pages import Page
from decision_service.console.session import Sessions
from decision_service.console.sse import Make, Shared
from decision_service.doors.foreign import Operation, Visit
from decision_service.errors import NotFound, ServiceError, WrongMethod
from decision_service.problem import HttpAnswer, http_problem, problem_of

_KEEP_S = 0.9
"""Of what lives: less than the second between two events, so that each is new."""
_HEAD = ((b"cache-control", b"no-store"), *GUARDS)
_encode = msgspec.json.Encoder().encode


class ConsoleDialect:
    """``/v1/console/<page>``, by the table of pages."""

    name = "console"
    prefix = b"/v1/console/"

    def __init__(self, pages: Sequence[Page], sessions: Sessions) -> None:
        self._sessions = sessions
        self._pages: dict[str, dict[str, Page]] = {}
        for page in pages:
            self._pages.setdefault(page.name, {})[page.method] = page
        self.lives: Mapping[str, Make] = {
            page.name: Shared(_maker(page), time.monotonic, _KEEP_S).get for page in pages if page.live
        }
        """Makes what is sent once a second, for each page that lives."""

    def claims(self, path: bytes) -> bool:
        """All below the prefix."""
        return True

    def find(self, visit: Visit) -> Operation:
        """The page that a request means.

        Raises:
            NotFound: there is none.
            WrongMethod: it has no such method.
        """
        methods = self._pages.get(visit.parts[0], {})
        page = methods.get(visit.method)
        if not methods or (page is not None and len(visit.parts) > 1 and not page.deeper):
            raise NotFound(f"no such page; /v1/console/ has {', '.join(self._pages)}")
        if page is None:
            raise WrongMethod(tuple(methods))
        found = page

        async def handle(asked: Visit) -> HttpAnswer:
            if found.live and not asked.query:
                return HttpAnswer(200, await self.lives[found.name](), _HEAD)
            told = await found.look(asked)
            return told if isinstance(told, HttpAnswer) else HttpAnswer(200, _encode(told), _HEAD)

        return Operation(f"console_{page.name}", page.role, handle, page.limit_bytes)

    def authorization(self, visit: Visit) -> str:
        """Its own, or that of its session."""
        return self._sessions.authorization(visit.method, visit.headers)

    def refusal(self, visit: Visit, error: BaseException) -> HttpAnswer:
        """A problem document, as everywhere."""
        answer = problem_of(error) if isinstance(error, ServiceError) else http_problem(500)
        return replace(answer, headers=(*answer.headers, *_HEAD))


def _maker(page: Page) -> Make:
    async def make() -> bytes:
        return _encode(await page.look(Visit("GET", (page.name,), {}, ())))

    return make
