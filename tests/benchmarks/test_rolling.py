"""Services and sidecar are restarted in turn under load, and no request fails."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from benchmarks.rolling import figures


@pytest.mark.slow
def test_a_rolling_restart_of_services_and_sidecar_fails_no_request():
    """A tenth of the 20,000 requests of the benchmark; the client repeats nothing."""
    with tempfile.TemporaryDirectory(prefix="sidearm-", dir="/tmp") as folder:
        (figure,) = figures(Path(folder) / "data", requests=2_000)

    assert figure.value == 0, figure.facts
    assert figure.facts["requests"] == 2_000
    assert figure.facts["restarts"] >= 1
