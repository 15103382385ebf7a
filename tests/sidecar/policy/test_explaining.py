"""A score taken apart: the parts are named rightly, and add up to what was served."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest

from sidecar.contracts.application import Arm
from sidecar.contracts.explaining import ExplainRequest, decode_request, decode_response, encode
from sidecar.contracts.hashing import ARM_SEED, CONTEXT_SEED, crossed, feature_hash
from sidecar.contracts.weights import WeightsHeader, weights_of
from sidecar.policy.adapters import RowInput
from sidecar.policy.arm_table import compile_arms
from sidecar.policy.explaining import explain
from sidecar.policy.features import compile_context
from sidecar.policy.model import scores_of
from tests.parity.generated import ARM_IDS, AWKWARD_NAMES, arms, features

BITS = 14


def weights(interactions=("ca", "aa", "cc"), values=None):
    header = WeightsHeader(
        version=7,
        bits=BITS,
        interactions=interactions,
        positions=("0-0",),
        trained_until_ms=0,
        epoch=1,
        examples=1,
    )
    table = np.random.default_rng(5).normal(size=2**BITS).astype(np.float32) if values is None else values
    return weights_of(header, table)


@pytest.mark.parametrize("interactions", [("ca",), ("ca", "aa", "cc"), ("aa",), ()])
def test_the_parts_add_up_to_the_score_that_is_served(interactions):
    """Whatever the features are called, however many parts are told, with what is not told beside them."""
    rng, model = random.Random(3), weights(interactions)
    for most in (0, 3, 10_000):
        for _ in range(20):
            context, eligible = features(rng, AWKWARD_NAMES), arms(rng, AWKWARD_NAMES, ARM_IDS)
            said = explain(ExplainRequest(context, eligible, 7, most), model)
            served = scores_of(RowInput(compile_context(context), compile_arms(eligible)), model)
            assert np.array_equal(np.array([one.score for one in said.arms], np.float32), served)
            for one in said.arms:
                told = [part.contribution for part in one.parts]
                size = math.fsum(map(abs, told)) + abs(one.others)
                assert abs(math.fsum(told) + one.others - one.score) <= 1e-6 * (1 + size)
                assert len(told) <= most
                assert all(abs(a) >= abs(b) for a, b in pairwise(told))


def _place(*hashes):
    first, *rest = (np.array([value], np.uint32) for value in hashes)
    return int((crossed(first, rest[0]) if rest else first)[0]) & (2**BITS - 1)


def test_each_part_is_called_after_the_features_that_it_comes_from():
    """One weight at a time is not zero: the one part that there is has its names."""
    context, arm = {"device": "ios", "hour": 2.0, "new": True}, Arm("sku", {"price": -1.5, "kind": "hat"})
    hashed = {
        **{f"context.{n}": feature_hash(n, v, CONTEXT_SEED)[0] for n, v in context.items()},
        **{f"arm.{n}": feature_hash(n, v, ARM_SEED)[0] for n, v in {"id": "sku", **arm.features}.items()},
    }
    called = {"context.device": "=ios", "context.new": "=true", "arm.kind": "=hat", "arm.id": "=sku"}
    names = sorted(hashed)
    pairs = [(a, b) for a in names for b in names if (a, b) in _crossings(names)]
    for wanted in [*((name,) for name in names), *pairs]:
        values = np.zeros(2**BITS, np.float32)
        values[_place(*(hashed[name] for name in wanted))] = 0.5
        parts = explain(ExplainRequest(context, (arm,), 7), weights(values=values)).arms[0].parts
        assert [part.features for part in parts] == [tuple(name + called.get(name, "") for name in wanted)]


def _crossings(names):
    """Context before arm; within one of the two in the order of the names, the arm's id first."""
    order = sorted(names, key=lambda name: (name.startswith("arm"), name != "arm.id", name))
    return {(a, b) for place, a in enumerate(order) for b in order[place:]}


def test_the_constant_has_no_features():
    values = np.zeros(2**BITS, np.float32)
    full = weights()
    said = explain(ExplainRequest({}, (Arm("a"),), 7), full).arms[0]
    assert () in [part.features for part in said.parts]
    assert explain(ExplainRequest({}, (Arm("a"),), 7), weights(values=values)).arms[0].parts == ()


def test_without_weights_there_is_nothing_to_tell():
    said = explain(ExplainRequest({"a": 1.0}, (Arm("a"), Arm("b")), 0), None)
    assert (said.version, [one.score for one in said.arms]) == (0, [0.0, 0.0])


def test_what_travels_comes_back():
    request = ExplainRequest({"a": True, "b": 0.5}, (Arm("x", {"größe": "m"}),), 7, 3)
    response = explain(request, weights())
    assert decode_request(encode(request)) == request
    assert decode_response(encode(response)) == response
