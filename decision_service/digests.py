"""What makes two requests the same: by a client's key, or by their session."""

from __future__ import annotations

import hashlib

import msgspec

from decision_service.api.recommendations import RecommendationRequest
from sidecar.contracts.application import SessionConfig

_FIRST_FORM = ("session_id", "unit_id", "decision_id", "context", "arms", "exclude", "limit", "deadline_ms")
"""Fields that the digest holds whatever they are; later ones only where they say something, so that a request
has the same digest before and after an upgrade."""
_Asked = msgspec.defstruct("_Asked", _FIRST_FORM)
_LATER = {
    field.name: field.default
    for field in msgspec.structs.fields(RecommendationRequest)
    if field.name not in _FIRST_FORM
}


def digest_of(request: RecommendationRequest) -> str:
    """Two requests with the same digest ask the same; how long they are ready to wait is no part of it."""
    asked = msgspec.structs.replace(request, deadline_ms=None)
    body = msgspec.json.encode(_Asked(*(getattr(asked, f) for f in _FIRST_FORM)), order="deterministic")
    if later := {f: getattr(asked, f) for f, default in _LATER.items() if getattr(asked, f) != default}:
        body += msgspec.json.encode(later, order="deterministic")
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def kept_as(sessions: SessionConfig, request: RecommendationRequest) -> str:
    """What a session asks for, whatever the context is meanwhile; empty where it keeps nothing by that."""
    if not sessions.sticky_s or request.decision_id is not None:
        return ""
    arms = request.arms and [arm if isinstance(arm, str) else arm.id for arm in request.arms]
    asked = (request.unit_id, arms, request.exclude, request.limit, request.horizon_s, request.deferred)
    return hashlib.blake2b(msgspec.json.encode(asked), digest_size=12).hexdigest()
