"""Settings of the sidecar: ``[sidecar]`` in ``app.toml``, or ``SIDEARM_SIDECAR_<FIELD>``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class SidecarSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How the model container runs. Every field has a default; none needs to be set."""

    socket: str = ""
    """Path of the Unix socket; empty: where the data folder puts it. The decision service must agree."""
    name: str = ""
    """Under which `sidearm models list` names it; empty: host and process."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Processes that score on this one socket (`--workers`), where one core is not enough for it."""
    poll_s: Annotated[float, Meta(gt=0.0, le=3600.0)] = 5.0
    """How often the weights are looked at without a notice, in seconds: the net below the version stream."""
    block_ms: Annotated[int, Meta(ge=10, le=10_000)] = 1000
    """How long one blocking read of the version stream waits, in milliseconds. SIGTERM may wait for it."""
    retry_s: Annotated[float, Meta(gt=0.0, le=60.0)] = 0.25
    """Pause after the store failed, in seconds. Shorter finds a restarted store sooner."""
    tables: Annotated[int, Meta(ge=1, le=1024)] = 8
    """Catalogues kept in memory; one more throws out the one that was used longest ago."""
    past_bytes: Annotated[int, Meta(ge=0)] = 32 * 1024 * 1024
    """What the versions that were served lately may take in memory: what they scored can be explained."""
    deployed_bytes: Annotated[int, Meta(ge=0)] = 128 * 1024 * 1024
    """What the weights of deployed versions may take in memory, 4 bytes for each of 2^bits; a model beyond it
    does not answer. While one comes or goes they take twice that. The default is 128 versions of 18 bits."""
    max_body_bytes: Annotated[int, Meta(ge=1024)] = 64 * 1024 * 1024
    """Largest score request; a longer one is refused with 413 as its bytes arrive."""
    drain_s: Annotated[int, Meta(ge=0, le=600)] = 10
    """How long SIGTERM lets running calls end, in seconds, before they are cut."""
