"""The log of a process: lines for a person, or a JSON object a line, whoever speaks and whatever happens."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import datetime

import pytest

from sidecar.contracts.errors import BadSettings
from sidecar.contracts.process_log import Lines, log_settings

PROGRAM = """
import logging, os, sys, threading, warnings
from sidecar.contracts.process_log import last_word, log_as
log_as(os.environ)
log = logging.getLogger("sidearm.somebody")
log.info("two\\nlines of %s", "it", extra={"arm": "sku-1", "what": object()})
log.debug("not said")
if "structlog" in sys.modules:
    import structlog
    structlog.get_logger("application").warning("its own", given=1)
try:
    raise ValueError("broken")
except ValueError:
    log.exception("it failed")
warnings.warn("take care")
log.error("surrogates \\ud800")
thread = threading.Thread(target=lambda: [][0])
thread.start()
thread.join()
last_word("sidearm train", ValueError("no such day"))
raise KeyError("nobody caught it")
"""


def said(**environ: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PATH": "", **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_is_an_object_a_line_whoever_speaks() -> None:
    """Loggers of every library, warnings, what no thread caught, the last word; tracebacks inside."""
    lines = [json.loads(line) for line in said(SIDEARM_LOG_FORMAT="json")]

    assert [(line["level"], line["logger"]) for line in lines] == [
        ("info", "sidearm.somebody"),
        ("warning", "application"),
        ("error", "sidearm.somebody"),
        ("warning", "py.warnings"),
        ("error", "sidearm.somebody"),
        ("critical", "sidearm"),
        ("critical", "sidearm.train"),
        ("critical", "sidearm"),
    ]
    assert lines[0]["event"] == "two\nlines of it"
    assert (lines[0]["arm"], lines[1]["given"]) == ("sku-1", 1)
    assert lines[2]["event"] == "it failed"
    for line, error in ((2, "ValueError: broken"), (5, "IndexError"), (7, "KeyError: 'nobody caught it'")):
        assert lines[line]["traceback"].startswith("Traceback")
        assert error in lines[line]["traceback"]
    assert lines[6]["event"] == "no such day"
    for line in lines:
        assert [*line][:5] == ["timestamp", "level", "logger", "event", "pid"]
        assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_lines_are_for_a_person_and_need_no_structlog() -> None:
    """What a record tells beside its message stands behind it."""
    lines = said()
    assert lines[0].endswith("INFO sidearm.somebody two")
    assert lines[1].startswith("lines of it arm=sku-1 what=<object")
    assert "sidearm train: no such day" in lines
    assert not any(line.startswith("{") for line in lines)


def test_what_is_less_important_is_not_said() -> None:
    """By the level."""
    levels = {
        json.loads(line)["level"] for line in said(SIDEARM_LOG_FORMAT="json", SIDEARM_LOG_LEVEL="error")
    }
    assert levels == {"error", "critical"}


@pytest.mark.parametrize("environ", [{"SIDEARM_LOG_FORMAT": "xml"}, {"SIDEARM_LOG_LEVEL": "loud"}])
def test_another_format_is_refused(environ) -> None:
    """With the legal ones."""
    with pytest.raises(BadSettings, match=r"SIDEARM_LOG_.*(json|debug)"):
        log_settings(environ)


def test_an_empty_variable_is_none() -> None:
    """As a manifest may leave it."""
    assert log_settings({"SIDEARM_LOG_FORMAT": ""}).format == "lines"


def test_a_plain_record_is_the_line_that_it_always_was() -> None:
    """Tests and people look for it."""
    record = logging.LogRecord("sidearm", logging.INFO, "", 1, "version %d", (7,), None)
    assert Lines("%(levelname)s %(name)s %(message)s").format(record) == "INFO sidearm version 7"
