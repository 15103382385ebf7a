"""Whether the learner's loop still turns, for a liveness probe: ``python -m policy_learner.probe``.

It reads the status that the learner writes once a second. A store that is away is no fault of the learner's:
a restart would not bring it back.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import redis

from policy_learner.status import Status, read
from sidecar.contracts.application import load_application
from sidecar.contracts.errors import ContractError
from sidecar.contracts.store import StoreError, connect

__all__ = ["STUCK_AFTER_MS", "Status", "age_ms", "main"]

STUCK_AFTER_MS = 120_000
"""Longer than any one step: rewriting a checkpoint, resuming from one, a slow store."""


def age_ms(client: redis.Redis, app: str) -> int | None:
    """How old the learner's status is, by the store's clock; None when it never wrote one."""
    status = read(client, app)
    seconds, micros = client.time()
    return None if status is None else int(seconds) * 1000 + int(micros) // 1000 - status.at_ms


def main(environ: Mapping[str, str]) -> int:
    """0 while the loop turns or nothing can be said, 1 when it is stuck, 2 when not configured."""
    try:
        application = load_application(Path(environ.get("SIDEARM_APP", "")))
        with connect(environ.get("REDIS_URL", "")) as client:
            age = age_ms(client, application.name)
    except (StoreError, OSError) as error:
        print(f"the store does not answer, so nothing is known: {error}", file=sys.stderr)
        return 0
    except ContractError as error:
        print(f"SIDEARM_APP and REDIS_URL must be set: {error}", file=sys.stderr)
        return 2
    if age is not None and age > STUCK_AFTER_MS:
        print(f"the learner's last sign of life is {age / 1000:.0f} s old", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
