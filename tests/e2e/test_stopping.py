"""SIGTERM at the worst moment: after a server looked whether it is to stop, before it listens to signals."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop"
TOLD_LATE = """
import os, signal, sys
import {module}.__main__ as main

main.search_less = lambda: os.kill(os.getpid(), signal.SIGTERM)
sys.exit(main.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("module", ["sidecar.server", "decision_service"])
def test_a_server_that_is_told_to_stop_while_it_starts_does(module, processes, data_folder, store_url):
    command = [sys.executable, "-c", TOLD_LATE.format(module=module)]
    arguments = ["--app", str(EXAMPLE), "--data", str(data_folder.root)]
    environ = {"REDIS_URL": store_url, "SIDEARM_DECISION_SERVICE_PORT": "0"}
    server = processes.run([*command, *arguments], module, environ)
    assert server.exit_code() == 0, server.output()
