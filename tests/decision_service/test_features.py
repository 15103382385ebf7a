"""What a node of an application's graph may answer: nothing of it harms the decisions beside."""

from __future__ import annotations

import asyncio
import enum
from typing import TypedDict

import numpy as np
import pytest

from decision_service.api import RecommendationRequest
from decision_service.features import FeatureSource
from feature_graph import Graph
from sidecar.contracts.application import Exploration
from sidecar.contracts.wire import ScoreRequest, ScoreRow, decode_request, encode


class Given(TypedDict):
    table: dict[str, object]


class Colour(str, enum.Enum):  # noqa: UP042 - the older form, whose str() is not its value
    RED = "red"


def answered(table: dict[str, object]) -> object:
    return table["value"]


@pytest.mark.parametrize(
    ("value", "feature"),
    [
        ("text", "text"),
        (np.str_("text"), "text"),
        (Colour.RED, "red"),
        (np.float64(0.5), 0.5),
        (7, 7.0),
        (True, True),
        ("\ud800", None),
        ("x" * 1025, None),
        (10**400, None),
        (1e10, None),
        (float("nan"), None),
        (float("-inf"), None),
        ([], None),
    ],
)
async def test_a_value_travels_as_its_plain_type_or_is_unusable(value, feature):
    """Text of another type or without a form in UTF-8 would fail the score call of all its neighbours."""
    time = asyncio.get_running_loop().time
    source = FeatureSource(Graph(Given, answered), ("answered",), {"table": {"value": value}}, time)

    found = await source.resolve(RecommendationRequest(session_id="s"), time() + 10)

    request = ScoreRequest((ScoreRow(found.context),), (Exploration(),), "v")
    travelled = decode_request(encode(request)).rows[0].context
    assert travelled == ({} if feature is None else {"answered": feature})
    assert found.outcomes == {"answered": "unusable" if feature is None else "ok"}
