"""Now and then the learner writes down how every model does, so that a page can draw a line."""

from __future__ import annotations

import redis

from sidecar.contracts import keys
from sidecar.contracts.contests import Shown
from sidecar.contracts.course import LEARNER, MOST_POINTS, encode_point, point_of
from sidecar.contracts.learner_report import Progressive

_KEPT_S = 7 * 86_400
"""After the last point: a learner that stands still keeps its line over a weekend."""


def write_point(client: redis.Redis, app: str, at_ms: int, own: Progressive, shown: Shown) -> None:
    """Add a point, and forget the oldest.

    For people: a store that has no memory left, or another kind of value there, is not told.

    Args:
        client: of the store.
        app: the application.
        at_ms: the store's clock.
        own: what the learner says of the weights that it learns.
        shown: what is known of all models.

    Raises:
        StoreError: the store is away.
    """
    figures = {LEARNER: own.by_count} | {one.name: one.progressive for one in shown.models}
    point, key = point_of(at_ms, figures), keys.models_course(app)
    if not point.models:
        return
    pipe = client.pipeline(transaction=False)
    pipe.lpush(key, encode_point(point))
    pipe.ltrim(key, 0, MOST_POINTS - 1)
    pipe.expire(key, _KEPT_S)
    pipe.execute(raise_on_error=False)
