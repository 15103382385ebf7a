"""The API's own description held against the running service: what it says is what comes, and never a 5xx."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.decision_service.platform import platform

EXAMPLES = os.environ.get("SIDEARM_SCHEMATHESIS_EXAMPLES", "60")
"""An operation; the variable is for longer campaigns."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)


@pytest.mark.slow
def test_every_answer_is_as_the_description_says():
    """Made of the schema, and against it: documented statuses and bodies only, no bad data taken, no 5xx."""
    with platform() as shop:
        command = [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
            *("run", f"{shop.url}/openapi.json", "-H", f"Authorization: Bearer {shop.key}"),
            *("--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing", "--seed", "1"),
            *("--checks", ",".join(CHECKS), "--suppress-health-check", "all", "--request-timeout", "10"),
        ]
        environ = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=shop.folder, env=environ
        )
        assert shop.alive()

    said = "\n".join(line[:300] for line in ran.stdout.splitlines())
    assert ran.returncode == 0, said + ran.stderr
