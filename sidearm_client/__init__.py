"""Ask Sidearm for recommendations, and tell it what came of them.

``Client`` and ``AsyncClient`` have the same methods. An answer always comes: where the service cannot be
reached in time, ``decide`` answers with a ranking of the caller's own and says so (``fell_back``). Rewards
leave in the background, in batches, each with a key, so that sending them again is safe.
"""

from sidearm_client.answers import Decision, Problem, ProblemDetail, RankedArm, Receipt
from sidearm_client.asynchronous import AsyncClient
from sidearm_client.errors import ClientError, Refused, Unavailable
from sidearm_client.retrying import Retries
from sidearm_client.settings import Batching, GivenArm, Settings
from sidearm_client.synchronous import Client

__all__ = [
    "AsyncClient",
    "Batching",
    "Client",
    "ClientError",
    "Decision",
    "GivenArm",
    "Problem",
    "ProblemDetail",
    "RankedArm",
    "Receipt",
    "Refused",
    "Retries",
    "Settings",
    "Unavailable",
]
