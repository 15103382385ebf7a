"""What a process says of itself: lines for a person, or JSON for whoever gathers the logs of many.

``SIDEARM_LOG_FORMAT`` is ``lines`` by default, or ``json``: one object a line, on stderr, an error's
traceback in its field ``traceback``. All of it goes through the standard library's loggers, those of other
libraries and Python's warnings too, so that nothing else ever stands between the lines. structlog renders the
objects, and is imported for that only.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from sidecar.contracts.checking import checked
from sidecar.contracts.errors import BadSettings

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

_PREFIX = "SIDEARM_LOG_"
_LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

log = logging.getLogger("sidearm")


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How every process logs: ``SIDEARM_LOG_FORMAT``, ``SIDEARM_LOG_LEVEL``."""

    format: Literal["lines", "json"] = "lines"
    """`lines`: for a person; `json`: an object a line, with `timestamp`, `level`, `logger`, `event`, and
    `traceback` where there is one."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """What is less important is not said."""


def log_settings(environ: Mapping[str, str]) -> LogSettings:
    """From the environment alone: there is a log before any file is read.

    Raises:
        BadSettings: a value that is none.
    """
    given = {
        name: environ[_PREFIX + name.upper()]
        for name in LogSettings.__struct_fields__
        if environ.get(_PREFIX + name.upper())
    }
    return checked(given, LogSettings, f"{_PREFIX}*", BadSettings, strict=False)


def log_as(environ: Mapping[str, str]) -> None:
    """Set up the log of this process; a second time changes nothing.

    Raises:
        BadSettings: as :func:`log_settings`.
    """
    settings = log_settings(environ)
    handler = JsonHandler() if settings.format == "json" else logging.StreamHandler()
    if not isinstance(handler, JsonHandler):
        handler.setFormatter(Lines(_LINE))
    logging.basicConfig(level=settings.level.upper(), handlers=[handler])
    if is_json():
        logging.captureWarnings(True)
        sys.excepthook = lambda _, error, __: crashed(error)
        threading.excepthook = lambda of: crashed(of.exc_value)


def is_json() -> bool:
    """Whether this process logs JSON."""
    return any(isinstance(one, JsonHandler) for one in logging.getLogger().handlers)


def last_word(program: str, error: BaseException) -> None:
    """Why ``program`` does not start, or ends, in one line on stderr."""
    if is_json():
        logging.getLogger(f"sidearm.{program.split()[-1]}").critical("%s", error)
    else:
        print(f"{program}: {error}", file=sys.stderr)


def crashed(error: BaseException | None) -> None:
    """Say what nobody caught, with its traceback."""
    if isinstance(error, Exception):
        log.critical("%s: %s", type(error).__name__, error, exc_info=error)
    elif error is not None:
        sys.__excepthook__(type(error), error, error.__traceback__)


class Lines(logging.Formatter):
    """A line for a person, with what a record tells beside its message."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - theirs
        """Called by :mod:`logging`."""
        more = [f" {name}={value}" for name, value in vars(record).items() if name not in _STANDARD]
        return super().formatMessage(record) + "".join(more)


class JsonHandler(logging.StreamHandler):  # type: ignore[type-arg]  # of whatever stderr is
    """Writes an object a line."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_json_formatter())


def _json_formatter() -> logging.Formatter:
    import structlog

    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # An application may log by structlog itself: it comes out as everything else does.
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _in_order,
            structlog.processors.JSONRenderer(default=repr),
        ],
    )


def _in_order(_: object, __: str, event: EventDict) -> EventDict:
    """First what every line has; then what is its own."""
    first: dict[str, Any] = {
        name: event.pop(name, None) for name in ("timestamp", "level", "logger", "event")
    }
    if (traceback := event.pop("exception", None)) is not None:
        event["traceback"] = traceback
    return {**first, "pid": os.getpid(), **event}
