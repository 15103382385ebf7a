"""What tests of both engines ask for."""

from __future__ import annotations

import pytest

from tests.feature_graph.noting import Calls
from tests.feature_graph.virtual_time import run


@pytest.fixture(params=["resolve", "resolve_in_order"])
def resolve(request):
    """Resolve with one of the engines on virtual time, and leave nothing behind."""

    def go(graph, goals, given=None, **options):
        return run(lambda: getattr(graph, request.param)(goals, given={"x": 1, **(given or {})}, **options))

    return go


@pytest.fixture
def calls():
    return Calls()
