"""What one decision takes of processors, memory, disk and network, as it was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from sidecar.contracts.errors import BadSettings


class Costs(Struct, frozen=True):
    """Of the shop: twenty arms, five fetches, durable log, on cores of a shared virtual machine.

    Where each figure is from stands in docs/capacity.md.
    """

    service_us: float = 103.0
    """Processor time of the service for a decision, at 128 connections."""
    sidecar_us: float = 16.0
    """Of the sidecar."""
    store_us: float = 31.0
    """Of the store: features and log."""
    learner_us: float = 44.0
    """Of the learner for a logged decision, Vowpal Wabbit included."""
    store_learning_us: float = 29.0
    """Of the store for the join, the readings and the trim of one."""
    joiner_us: float = 6.0
    """Of joiners for one."""
    archiver_us: float = 23.0
    """Of the archiver for one."""
    learner_per_s: float = 16_000.0
    """Logged decisions that one learner takes in, with joiner and archiver apart."""
    pending_bytes: float = 1095.0
    """Of the store for a decision that waits: payload, deadline, what its session remembers; 20 arms."""
    arm_bytes: float = 5.1
    """More for each arm beyond twenty."""
    answer_bytes: float = 950.0
    """Of a decision that is closed, for the hour in which it can still be looked at."""
    session_bytes: float = 270.0
    """Of a session, until its last decision is forgotten."""
    tombstone_bytes: float = 10.0
    """Of a closed decision, as long as it is recognised."""
    stream_bytes: float = 1300.0
    """Of a closed decision until checkpoint and archive have it."""
    journal_bytes: float = 2550.0
    """Of the store's append-only file for a logged decision, all its life."""
    row_bytes: float = 101.0
    """Of a row of the Parquet log."""
    http_bytes: float = 720.0
    """Between caller and service for a decision, both ways."""
    log_bytes: float = 1240.0
    """Between service and store for a logged decision."""
    delta_bytes: float = 5000.0
    """Of a version of the weights, to each sidecar: 18 bits, 20 arms."""


def of_bench(path: Path) -> Costs:
    """With what ``make bench`` wrote into ``build/bench.json``; what it has not measured stays as it is.

    Raises:
        BadSettings: it is no such file.
    """
    try:
        told = json.loads(path.read_bytes())
        return msgspec.convert(dict(_found(told)), Costs)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BadSettings(f"{path} is not what `make bench` writes: {error}") from error


def _found(told: Mapping[str, Mapping[str, Any]]) -> Mapping[str, float]:
    """Each figure that is there, under the name that it has here."""
    wanted = {
        "service_us": ("serving.decisions_per_s", "micros", "service"),
        "sidecar_us": ("serving.decisions_per_s", "micros", "sidecar"),
        "store_us": ("serving.decisions_per_s", "micros", "store"),
        "learner_us": ("learner.whole_loop_apart_per_s", "cpu_us_each", "policy_learner"),
        "store_learning_us": ("learner.whole_loop_apart_per_s", "cpu_us_each", "store"),
        "joiner_us": ("learner.whole_loop_apart_per_s", "cpu_us_each", "policy_learner.joiner"),
        "archiver_us": ("learner.whole_loop_apart_per_s", "cpu_us_each", "policy_learner.archiver"),
        "learner_per_s": ("learner.whole_loop_apart_per_s", "value"),
        "pending_bytes": ("learner.pending_bytes", "value"),
        "arm_bytes": ("learner.pending_bytes", "bytes_per_arm"),
    }
    return {name: value for name, way in wanted.items() if (value := _at(told, way)) is not None}


def _at(told: Any, way: tuple[str, ...]) -> float | None:  # noqa: ANN401 - JSON
    for word in way:
        told = told.get(word) if told is not None else None
    return cast("float | None", told)
