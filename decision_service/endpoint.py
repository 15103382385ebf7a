"""The rows of the table of endpoints, and what they are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from msgspec import Struct

from decision_service.admission import Rank
from decision_service.asgi import header_of
from decision_service.auth import Role
from decision_service.problem import HttpAnswer

Tell = Callable[[HttpAnswer | BaseException], None]
"""Is told the answer, or why there is none; once."""
_RANK: dict[Role | None, Rank] = {
    None: "probe",
    "read": "batch",
    "admin": "batch",
    "decide": "decide",
    "reward": "reward",
}
"""Of who calls, where an endpoint says nothing else."""


class Request(Struct, frozen=True):
    """What an endpoint is given."""

    body: bytes
    argument: str
    """The part of the path that stands for ``{…}``, decoded."""
    headers: Iterable[tuple[bytes, bytes]]

    def header(self, name: bytes) -> str:
        """A header by its lower-case name; empty if it is not there."""
        return header_of(self.headers, name)


class Endpoint(Struct, frozen=True):
    """One row of the table of endpoints."""

    name: str
    """For metrics, and the operation's id in the documentation."""
    method: str
    path: str
    """May have a last or a last but one part ``{…}``, of any content."""
    handle: Callable[[Request], Awaitable[HttpAnswer]]
    role: Role | None = None
    """None: anybody may call it."""
    limit_bytes: int = 0
    """Longest body; 0: it takes none."""
    rank: Rank | None = None
    """Who is turned away first when there are too many; None: as the role has it."""
    at_once: Callable[[Request, Tell], None] | None = None
    """The same without a task for each request, for those that are all here."""


def rank_of(endpoint: Endpoint) -> Rank:
    """Who is turned away first when there are too many."""
    return endpoint.rank or _RANK[endpoint.role]
