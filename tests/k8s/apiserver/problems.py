"""What the server refuses, in the words and the ``Status`` objects that kubectl knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.k8s.apiserver.kinds import Kind


class Refused(Exception):
    """An answer other than success."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details or {},
            "code": code,
        }


def not_found(kind: Kind, name: str) -> Refused:
    """No such object."""
    details = {"name": name, "group": kind.group, "kind": kind.plural}
    return Refused(404, "NotFound", f'{kind.resource} "{name}" not found', details)


def no_path(path: str) -> Refused:
    """Nothing is served there."""
    return Refused(404, "NotFound", f"the server could not find the requested resource ({path})")


def terminating(kind: Kind, name: str, namespace: str) -> Refused:
    """Its namespace is on its way out."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return Refused(403, "Forbidden", f'{kind.resource} "{name}" is forbidden: {why}')


def exists(kind: Kind, name: str) -> Refused:
    """Created already."""
    return Refused(409, "AlreadyExists", f'{kind.resource} "{name}" already exists')


def unknown_fields(kind: Kind, faults: Sequence[str]) -> Refused:
    """Strict validation found fields that the schema does not have."""
    what = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
    return Refused(400, "BadRequest", f"{what}: strict decoding error: {', '.join(faults)}")


def invalid(kind: Kind, name: str, faults: Sequence[str]) -> Refused:
    """A wrong type, a wrong value, or a change of what cannot be changed."""
    parted = [fault.partition(": ") for fault in faults]
    causes = [{"reason": "FieldValueInvalid", "field": f, "message": said} for f, _, said in parted]
    details = {"name": name, "group": kind.group, "kind": kind.kind, "causes": causes}
    return Refused(
        422, "Invalid", f'{kind.kind}.{kind.group} "{name}" is invalid: {"; ".join(faults)}', details
    )


def conflicts(found: Sequence[tuple[str, str]]) -> Refused:
    """Others manage fields that would change: (manager, field) of each."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}"', "field": field}
        for manager, field in found
    ]
    words = "; ".join(f'conflict with "{manager}": {field}' for manager, field in found)
    plural = "conflict" if len(found) == 1 else "conflicts"
    message = f"Apply failed with {len(found)} {plural}: {words}"
    return Refused(409, "Conflict", message, {"causes": causes})
