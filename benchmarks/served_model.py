"""A model that is served: without one nothing is scored, and a decision costs the sidecar half."""

from __future__ import annotations

import json
import time
from urllib.request import Request, urlopen

import numpy as np

from decision_service.cli.platform import Platform
from policy_learner.models.publish import publish
from sidecar.contracts.scripts.publish import Publication
from sidecar.contracts.store import Scripts, connect
from sidecar.contracts.weights import WeightsHeader, encode_weights, weights_of

VERSION = 1
DEADLINE_S = 30.0


def serve_model(ours: Platform) -> None:
    """Publish random weights (seeded) in the learner's stead, and wait until answers are theirs.

    Raises:
        TimeoutError: the sidecar does not serve them.
    """
    with connect(ours.store_url) as client:
        publish(Scripts.on(client), ours.application.name, _publication(ours))
    give_up = time.monotonic() + DEADLINE_S
    while _version_of_an_answer(ours) != VERSION:
        if time.monotonic() > give_up:
            raise TimeoutError(f"the sidecar does not serve version {VERSION} after {DEADLINE_S:.0f} s")
        time.sleep(0.05)


def _publication(ours: Platform) -> Publication:
    model, positions = ours.application.model, ("0-0",) * ours.application.partitions
    header = WeightsHeader(
        version=VERSION,
        bits=model.bits,
        interactions=model.interactions,
        positions=positions,
        trained_until_ms=1,
        epoch=1,
        examples=1,
    )
    values = np.random.default_rng(VERSION).normal(size=1 << model.bits).astype(np.float32)
    return Publication(
        epoch=1,
        version=VERSION,
        record=encode_weights(weights_of(header, values)),
        positions=positions,
        examples=1,
        batches=(),
        checksum="",
    )


def _version_of_an_answer(ours: Platform) -> int:
    head = {"Authorization": f"Bearer {ours.key}", "Content-Type": "application/json"}
    asked = Request(f"{ours.url}/v1/recommendations", data=b'{"session_id":"warm"}', headers=head)
    with urlopen(asked) as answer:
        return int(json.load(answer)["model_version"])
