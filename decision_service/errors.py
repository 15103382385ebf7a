"""What the decision service refuses, as one tree; ``problem.py`` holds the table of their HTTP statuses.

::

    SidearmError
    └── ServiceError
        ├── BadRequest        a request that breaks its schema, with the fields at fault
        │   └── BodyTooLarge  more bytes than the limit, counted as they arrive
        ├── TooSlow           the body did not come in time
        ├── NotAuthenticated  no key, or one that nobody was given
        ├── NotAllowed        a known key without the role that the call needs
        ├── NotFound          no such decision, or no such path
        ├── WrongMethod       the path exists, but not for this method
        ├── KeyReused         the client's key came again with another body
        ├── Outdated          a change of what is not so any more
        ├── NothingEligible   every arm was excluded
        ├── StoreAway         the store does not answer, and nothing was or could be written down instead
        ├── SpoolFailed       what the store should hear of cannot be written down: full, or the disk fails
        ├── NotReady          send callers elsewhere: it starts, or it is being stopped
        ├── Overloaded        more requests than can be answered in time: try again, as Retry-After says
        └── SidecarFailed     no scores: never seen by a caller, since the backstop answers then
            └── SidecarRefused   it answered, and will not score what it was asked to
"""

from __future__ import annotations

from msgspec import Struct

from sidecar.contracts.errors import SidearmError


class FieldError(Struct, frozen=True):
    """One field at fault: where it is, and what would have been legal."""

    pointer: str
    """JSON pointer (RFC 6901) into the request's body; empty for the body as a whole."""
    detail: str


class ServiceError(SidearmError):
    """Root of what this process refuses on purpose."""


class BadRequest(ServiceError):
    """A request that breaks its schema."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.pointer or 'body'}: {error.detail}" for error in errors))
        self.errors = errors


class BodyTooLarge(BadRequest):
    """More bytes than the limit, whatever the headers said."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(FieldError("", f"at most {limit_bytes} bytes are legal"))


class TooSlow(ServiceError):
    """The body did not come in time."""


class NotAuthenticated(ServiceError):
    """No key, or one that nobody was given."""


class NotAllowed(ServiceError):
    """A known key without the role that the call needs."""


class NotFound(ServiceError):
    """No such decision, or no such path."""


class WrongMethod(ServiceError):
    """The path exists, but not for this method."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"use {' or '.join(allowed)} here")
        self.allowed = allowed


class KeyReused(ServiceError):
    """The client's own key came again with another body."""


class Outdated(ServiceError):
    """A change of what somebody else has changed meanwhile."""


class NothingEligible(ServiceError):
    """Every arm was excluded."""


class StoreAway(ServiceError):
    """The store does not answer; what only it can tell cannot be told."""


class SpoolFailed(ServiceError):
    """The spool is full, or its disk fails."""


class NotReady(ServiceError):
    """The service starts, or is being stopped."""


class Overloaded(ServiceError):
    """More requests are under way than can be answered in time."""


class SidecarFailed(ServiceError):
    """No scores came from the sidecar; the backstop answers instead."""


class SidecarRefused(SidecarFailed):
    """It is there, and has said that it will not score these rows: one of them may be why."""
