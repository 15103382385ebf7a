"""The learner's probe: alive, stuck, and a store that is away."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from policy_learner import probe
from sidecar.contracts.keys import learner_status
from tests.e2e.platform import write_application


@pytest.fixture
def environ(tmp_path: Path, store_url: str) -> dict[str, str]:
    application = write_application(tmp_path / "app", horizon_s=1.0)
    return {"SIDEARM_APP": str(application), "REDIS_URL": store_url}


def write_status(store: redis.Redis, age_ms: int) -> None:
    """As the learner would have written it so long ago."""
    seconds, micros = store.time()
    fields = dict.fromkeys(probe.Status.__struct_fields__, 0)
    fields |= {"state": "running", "positions": "[]", "last_error": "", "examples_per_s": 0.0}
    at_ms = int(seconds) * 1000 + int(micros) // 1000 - age_ms
    store.hset(learner_status("kill"), mapping=fields | {"at_ms": at_ms})


def test_a_learner_that_wrote_lately_is_alive(environ: dict[str, str], store: redis.Redis) -> None:
    """So is one that has not written yet."""
    assert probe.main(environ) == 0
    write_status(store, 1_000)
    assert probe.main(environ) == 0


def test_a_learner_that_has_not_written_for_long_is_stuck(
    environ: dict[str, str], store: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last sign of life is named."""
    write_status(store, probe.STUCK_AFTER_MS + 5_000)
    assert probe.main(environ) == 1
    assert "125 s old" in capsys.readouterr().err


def test_a_store_that_is_away_is_no_reason_to_restart(environ: dict[str, str], tmp_path: Path) -> None:
    """Nothing is known, so nothing is done."""
    assert probe.main(environ | {"REDIS_URL": f"unix://{tmp_path}/none.sock"}) == 0


def test_a_probe_without_its_settings_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2."""
    assert probe.main({}) == 2
    assert "SIDEARM_APP" in capsys.readouterr().err
