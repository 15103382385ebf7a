"""Rules about probes: who is asked what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.k8s.check.commands import exists, fault
from tests.k8s.check.objects import Container
from tests.k8s.check.processes import command_of, is_ours, module_of
from tests.k8s.check.scene import Scene

KINDS = ("startupProbe", "readinessProbe", "livenessProbe")
_ASKS = {"/livez": "live", "/readyz": "ready", "live": "live", "ready": "ready"}


def probes(scene: Scene) -> Iterator[str]:
    """Whatever stays has a liveness probe, and readiness apart from it unless it is a sidecar."""
    for container in scene.containers:
        wanted = ("livenessProbe",) if container.is_init else ("livenessProbe", "readinessProbe")
        if container.stays:
            yield from (f"{container.name}: has no {kind}" for kind in wanted if kind not in container.spec)
        live, ready = (container.spec.get(kind) for kind in ("livenessProbe", "readinessProbe"))
        if _answers(container) and live and ready and _action(live) == _action(ready):
            yield f"{container.name}: liveness and readiness ask the same"


def _answers(container: Container) -> bool:
    """Whether it says two things: the sidecar is ready when it is alive, since the service can do without."""
    return is_ours(container) and module_of(container) != "sidecar.server"


def _action(probe: Mapping[str, Any]) -> Any:
    return next(probe[kind] for kind in ("exec", "httpGet", "tcpSocket", "grpc") if kind in probe)


def questions(scene: Scene) -> Iterator[str]:
    """A store that is away restarts nobody: start and liveness ask what lives, readiness what is ready."""
    for container in filter(is_ours, scene.containers):
        for kind in KINDS:
            asked = _asked(container.spec[kind]) if kind in container.spec else "live"
            if not asked:
                yield f"{container.name}: {kind} asks for what is not there"
            elif kind != "readinessProbe" and asked == "ready":
                yield f"{container.name}: {kind} asks what is ready: a store that is away would restart it"


def _asked(probe: Mapping[str, Any]) -> str:
    """``live`` or ``ready``; empty when what is asked for does not exist."""
    words = probe["exec"]["command"] if "exec" in probe else [probe.get("httpGet", {}).get("path", "")]
    if "exec" in probe and (words[:2] != ["python", "-m"] or not exists(words[2])):
        return ""
    return next((_ASKS[word] for word in words if word in _ASKS), "")


def commands(scene: Scene) -> Iterator[str]:
    """What a container starts is a module that can be run, or a command of `sidearm` with its options."""
    for container in filter(is_ours, scene.containers):
        if said := fault(command_of(container)):
            yield f"{container.name}: {said}"
