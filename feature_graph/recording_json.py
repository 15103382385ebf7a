"""Recordings as one line of JSON each, and back: what was written once is read for ever.

A later version adds fields with defaults and changes the type of none; ``tests/feature_graph/golden`` holds
what earlier ones wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from feature_graph.errors import BadRecording
from feature_graph.outcome import Status
from feature_graph.plain import NO_FORMS, Forms, from_plain, is_plain, to_plain
from feature_graph.recording import RecordedError, RecordedOutcome, Recording
from feature_graph.resolution import Span

FORMAT: Final = 1
"""Raised only if readers of today would misread the text."""

_Json = dict[str, Any]


def to_json(recording: Recording, forms: Forms = NO_FORMS) -> str:
    """The recording as one line of JSON.

    Args:
        recording: what :func:`feature_graph.recording.record` gave.
        forms: how values of your own types are written, by names that stay for ever.

    Raises:
        BadRecording: a value has no form; the message names the node and the type.
    """
    fetched = {name: _outcome_told(name, outcome, forms) for name, outcome in recording.fetched.items()}
    told = {
        "format": FORMAT,
        "goals": list(recording.goals),
        "given": {name: _told(name, value, forms) for name, value in recording.given.items()},
        "left_out": list(recording.left_out),
        "fetched": fetched,
        "timeline": [_span_told(span, forms) for span in recording.timeline],
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def from_json(text: str | bytes, forms: Forms = NO_FORMS) -> Recording:
    """Read back what :func:`to_json` wrote, at any time since.

    Raises:
        BadRecording: it is no recording, of a later format, or holds a form that ``forms`` lacks.
    """
    try:
        told = json.loads(text)
        known = told.get("format") if isinstance(told, dict) else None
        if known != FORMAT:
            raise BadRecording(f"the recording is of format {known!r}; legal: {FORMAT}")
        return _read(told, forms)
    except BadRecording:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadRecording(f"this is no recording: {type(error).__name__}: {error}") from error


def _told(name: str, value: object, forms: Forms) -> object:
    try:
        return to_plain(value, forms)
    except RecursionError:
        raise BadRecording(f"{name!r} is nested too deeply, or in itself") from None
    except BadRecording as error:
        raise BadRecording(f"{name!r} cannot be written: {error}") from None


def _outcome_told(name: str, outcome: RecordedOutcome, forms: Forms) -> _Json:
    told: _Json = {"status": outcome.status.value}
    if outcome.value is not None:
        told["value"] = _told(name, outcome.value, forms)
    if outcome.error is not None:
        told["error"] = _error_told(name, outcome.error, forms)
    told |= {key: each for key in ("root", "via") if (each := getattr(outcome, key)) is not None}
    return told | ({"notes": _told(name, dict(outcome.notes), forms)} if outcome.notes else {})


def _error_told(name: str, error: RecordedError, forms: Forms) -> _Json:
    told: _Json = {"kind": error.kind, "message": error.message}
    if error.arguments is not None:
        told["arguments"] = _told(name, list(error.arguments), forms)
    return told | ({"state": _told(name, dict(error.state), forms)} if error.state else {})


def _span_told(span: Span, forms: Forms) -> _Json:
    told: _Json = {
        "name": span.name,
        "start_s": span.start_s,
        "end_s": span.end_s,
        "status": span.status.value,
    }
    notes = {key: to_plain(value, forms) for key, value in span.notes.items() if is_plain(value, forms)}
    return told | ({"notes": notes} if notes else {})


def _read(told: _Json, forms: Forms) -> Recording:
    return Recording(
        tuple(told["goals"]),
        {name: from_plain(value, forms) for name, value in told["given"].items()},
        {name: _outcome_read(outcome, forms) for name, outcome in told["fetched"].items()},
        tuple(told.get("left_out", ())),
        tuple(_span_read(span, forms) for span in told.get("timeline", ())),
    )


def _outcome_read(told: _Json, forms: Forms) -> RecordedOutcome:
    error = told.get("error")
    return RecordedOutcome(
        Status(told["status"]),
        from_plain(told.get("value"), forms),
        None if error is None else _error_read(error, forms),
        told.get("root"),
        told.get("via"),
        _mapping(told.get("notes", {}), forms),
    )


def _error_read(told: _Json, forms: Forms) -> RecordedError:
    arguments = from_plain(told["arguments"], forms) if "arguments" in told else None
    made_from = tuple(arguments) if isinstance(arguments, list) else None
    return RecordedError(told["kind"], told["message"], made_from, _mapping(told.get("state", {}), forms))


def _span_read(told: _Json, forms: Forms) -> Span:
    notes = _mapping(told.get("notes", {}), forms)
    return Span(told["name"], told["start_s"], told["end_s"], Status(told["status"]), notes)


def _mapping(told: object, forms: Forms) -> Mapping[str, object]:
    found = from_plain(told, forms)
    if not isinstance(found, dict):
        raise BadRecording(f"{told!r} stands where an object belongs")
    return found
