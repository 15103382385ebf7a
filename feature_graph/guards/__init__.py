"""What stands between a run and one fetch: retry, hedge, bulkhead, breaker, cache, thread.

All of it is outside the scheduler: an async function goes in, an async function comes out.

::

    bureau = Source("bureau", max_in_flight=20, max_waiting=100, breaker=Breaker())

    @fetch(timeout=0.08, source=bureau, hedge="p95", idempotent=True)
    async def bureau_score(customer_id: str, http: Http) -> float: ...

    @fetch(timeout=0.05, retry=Retry(on=ConnectionError), cache=Cache(60, stale=3600, key="customer_id"))
    async def profile(customer_id: str, http: Http) -> Profile: ...
"""

from feature_graph.guards.attempt import AttemptTimedOut
from feature_graph.guards.breaker import Breaker, BreakerState
from feature_graph.guards.budget import RetryBudget
from feature_graph.guards.cache import Cache
from feature_graph.guards.guarded import check, guarded
from feature_graph.guards.retry import Retry
from feature_graph.guards.source import Source
from feature_graph.guards.state import CacheState, SourceState

__all__ = [
    "AttemptTimedOut",
    "Breaker",
    "BreakerState",
    "Cache",
    "CacheState",
    "Retry",
    "RetryBudget",
    "Source",
    "SourceState",
    "check",
    "guarded",
]
