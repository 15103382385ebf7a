"""``sidearm …`` as a person runs it, but in the process of the test: a process costs most of a second."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from decision_service.cli.main import main


def sidearm(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """What a command says, and its exit code; ``environ`` is added to ours."""
    out, told = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    command = ["sidearm", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", command),
        mock.patch.dict(os.environ, {"COLUMNS": "200", **environ}),
        redirect_stdout(out),
        redirect_stderr(told),
    ):
        try:
            main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code or 0
    assert isinstance(code, int), code
    return subprocess.CompletedProcess(command, code, _text(out), _text(told))


def _text(written: io.TextIOWrapper) -> str:
    written.seek(0)
    return written.read()
