"""Settings of the decision service: ``[decision_service]`` in ``app.toml``, or the environment.

``SIDEARM_DECISION_SERVICE_<FIELD>`` overrides a field.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=0, le=65_535)]
Milliseconds = Annotated[int, Meta(ge=1, le=60_000)]


class ServiceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How the service runs. Every field has a default; none needs to be set."""

    host: str = "127.0.0.1"
    """Address to listen on. ``0.0.0.0`` opens it to the network: use it in a container, behind an ingress."""
    port: Port = 8000
    """TCP port; 0 lets the system choose one, which is printed."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Processes that answer on this one address (`--workers`). Each has its own connections to store and
    sidecar, its own queue and its own figures; one is right for a core or two, replicas for many machines."""
    deadline_ms: Milliseconds = 50
    """By when an answer is to be there when the request names no time, in milliseconds. The last 30 % of it,
    15 ms at most, are for the log. Scores have the rest, and features six tenths of the whole."""
    score_timeout_ms: Milliseconds = 40
    """Longest wait for the sidecar, in milliseconds: after it the backstop answers. Above ``deadline_ms`` it
    has no effect."""
    store_timeout_ms: Milliseconds = 500
    """Longest wait for one reply of the store, in milliseconds, for what has no deadline: rewards, look-ups.
    A decision waits as long as its deadline lets it."""
    spool_bytes: Annotated[int, Meta(ge=0, le=16 * 1024**3)] = 64 * 1024 * 1024
    """Most bytes, in memory and on disk, that wait for a store that is away; a decision takes about 1 KiB.
    Full, decisions are answered and not logged, and rewards refused with 503. 0: nothing is spooled."""
    spool_timeout_ms: Milliseconds = 100
    """Longest wait for the spool's disk, in milliseconds."""
    sidecar_socket: str = ""
    """Unix socket of the sidecar; empty: where the data folder puts it. The sidecar must agree."""
    sidecar_connections: Annotated[int, Meta(ge=1, le=64)] = 1
    """Score calls under way at once. More help only where several sidecar processes share the socket."""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)] = 256 * 1024
    """Largest body of a recommendation, counted as its bytes arrive; a longer one is refused with 413."""
    max_batch_body_bytes: Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    """The same for a batch of rewards, of which there may be 1,000."""
    body_timeout_s: Annotated[float, Meta(gt=0.0, le=600.0)] = 10.0
    """Longest wait for a whole body, in seconds; after it 408. Keeps clients that dribble from piling up."""
    score_batch: Annotated[int, Meta(ge=1, le=4096)] = 64
    """Most decisions in one score call. Smaller bounds how long one slow batch holds up the others."""
    log_batch: Annotated[int, Meta(ge=1, le=4096)] = 128
    """Most decisions in one script call, per partition. A script call stops the store while it runs."""
    busy_wait_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    """While decisions are on their way, and until so many milliseconds after the last ones began, ask for
    news without sleeping: at half load the median is about a tenth shorter, and a core is never idle. For a
    machine of one's own. 0, it sleeps, where processor time is shared, limited, or what replicas are scaled
    by."""
    calibrated: bool = False
    """Ask the sidecar what scores mean: the reward to be expected of the arm that is shown, and the rank of
    its score, are answered and logged. Each score call grows by 8 bytes an arm."""
    weights_stale_s: Annotated[float, Meta(ge=0.0, le=31_622_400.0)] = 0.0
    """Age from which weights count as stale, in seconds since the last example that they know: every arm then
    keeps the chance ``weights_stale_floor``. Longer than the longest silence of the application; 0: never."""
    weights_stale_floor: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.01
    """The smallest probability of an eligible arm under stale weights."""
    weights_expire_s: Annotated[float, Meta(ge=0.0, le=31_622_400.0)] = 0.0
    """Age from which weights are not used any more, and the backstop answers, in seconds. 0: never."""
    overload_backlog_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 30.0
    """Seconds that the learner may be behind before only a share of the decisions is logged, less and less up
    to ten times as much; each says with which probability it was logged. 0: it may be behind as far as it
    likes. Full partitions and a full store thin the log in any case."""
    overload_least_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.05
    """The smallest such share. Smaller spares more, and leaves noisier estimates."""
    overload_look_s: Annotated[float, Meta(ge=0.01, le=60.0)] = 1.0
    """Seconds between two looks at the load."""
    max_in_flight: Annotated[int, Meta(ge=1, le=65_536)] = 512
    """Most requests under way at once; beyond it they are refused with 429, reads and batches first, rewards
    last. The limit falls below it, to an eighth at least, while answers come long after their deadlines."""
    linger_s: Annotated[float, Meta(ge=0.0, le=600.0)] = 0.0
    """How long after SIGTERM requests are still served, while readiness says no and answers close their
    connections, in seconds: what a load balancer needs to send callers elsewhere. 0: no time, as suits a
    machine without one."""
    drain_s: Annotated[int, Meta(ge=0, le=600)] = 10
    """How long running requests then have to end, in seconds, before they are cut."""
    draw_secret: str = ""
    """Key of the draw, hex, at least 32 characters; give it by the environment only, the same to every
    replica. Empty: made at the first start and kept in the data folder. Changing it changes no logged
    decision."""
    log_decisions: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    """Share of the decisions of which the process's log has a line each: id, arm, probability, who answered,
    how long it took; nothing of the visitor. 0: of none, and that costs nothing; 1: of every one."""
    docs: bool = True
    """Serve ``/docs`` and ``/openapi.json``. Off hides the API's shape from those without a key."""
    console: bool = True
    """Serve the console at ``/console``, and its data at ``/v1/console/…``."""
    cors_origins: str = ""
    """Origins of pages whose scripts may ask for decisions and flags and send rewards and events, such as
    `https://shop.example`, with commas between. Empty: none. The key in such a page is everybody's."""
    stream_front: bool = False
    """Answer requests on the store's stream ``{app}:requests`` too, on the streams that they name."""
    stream_url: str = ""
    """Address of the store for that, with a user that may do nothing else; empty: as for everything. Give it
    by the environment only, since it holds a password."""
    stream_patience_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] = 10.0
    """A request that lay in the stream for longer is refused: after an outage nobody waits for it."""
    webhooks: str = ""
    """Addresses that are told when a model is promoted, rolled back or refused by the gate, when an
    evaluation is done and when a canary's scores drift; with commas between. Empty: nobody is."""
    webhook_secret: str = ""
    """Key of their signatures, ``whsec_`` and base64 of 24 bytes or more, the same for every replica. Give it
    by the environment only."""
    decoy_bytes: Annotated[int, Meta(ge=128 * 1024 * 1024)] = 1024 * 1024 * 1024
    """Of all inputs that one decoy has archived here; the oldest go first."""
