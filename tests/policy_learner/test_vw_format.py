"""An example as text: each feature of a context stands there with its hash and the last bit of its value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_learner.learning.vw_format import context_line
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.hashing import CONTEXT_SEED
from sidecar.policy.features import MAGNITUDE_LIMIT, feature_pairs

NUMBERS = st.floats(-MAGNITUDE_LIMIT, MAGNITUDE_LIMIT) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 1, 0])
VALUES = st.text(max_size=8) | st.booleans() | NUMBERS | st.integers(-(10**9), 10**9)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=8))
def test_a_context_is_written_as_it_is_scored(features):
    """Names are hashed as the sidecar hashes them; True, 1 and 1.0 are told apart; no zero has a sign."""
    tokens = context_line(features).removeprefix("shared |c").split()
    pairs = feature_pairs(features, CONTEXT_SEED)
    assert len(tokens) == len(pairs)
    for token, (full_hash, value) in zip(tokens, pairs, strict=True):
        name, _, number = token.partition(":")
        written = float.fromhex(number) if number else 1.0
        assert (int(name) + CONTEXT_SEED) % 2**32 == full_hash
        assert written == float(np.float32(value))
        assert written or math.copysign(1.0, written) == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.1 * MAGNITUDE_LIMIT, 10**10])
def test_a_number_outside_its_range_is_refused_by_name(value):
    """It would poison the model."""
    with pytest.raises(BadEvent, match="'speed'"):
        context_line({"device": "ios", "speed": value})
