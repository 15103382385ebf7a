"""Rules about how pods end and are replaced: nobody is cut off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from decision_service.settings import ServiceSettings
from policy_learner.settings import LearnerSettings
from sidecar.server.settings import SidecarSettings
from tests.k8s.check.objects import Container, containers_of
from tests.k8s.check.processes import BadSettings, module_of, settings_of
from tests.k8s.check.scene import Scene

_SPOOL_ENDS_S = 2.0


def ending(scene: Scene) -> Iterator[str]:
    """The time that a pod has to end is longer than what its processes take for it."""
    for pod in scene.pods:
        if scene.application is None or not pod.runs_on:
            continue
        needed = max((_takes_s(scene, c) for c in containers_of(pod)), default=0.0)
        given = pod.spec.get("terminationGracePeriodSeconds", 30)
        if needed >= given:
            yield f"{pod.name}: may take {needed:g} s to end, and is killed after {given} s"


def _takes_s(scene: Scene, container: Container) -> float:
    assert scene.application is not None
    hook = container.spec.get("lifecycle", {}).get("preStop", {})
    waits = float(hook.get("sleep", {}).get("seconds", 0)) or _slept_s(hook)
    try:
        found = settings_of(container, scene.application)
    except BadSettings:
        return waits
    match found:
        case ServiceSettings():
            return waits + found.linger_s + found.drain_s + _SPOOL_ENDS_S
        case SidecarSettings() | LearnerSettings():
            return waits + found.drain_s
    return waits


def _slept_s(hook: Mapping[str, Mapping[str, list[str]]]) -> float:
    """Of a hook that is a line of Python, for clusters without the field."""
    last = (hook.get("exec", {}).get("command") or [""])[-1]
    inside = last.partition("time.sleep(")[2].partition(")")[0]
    return float(inside or 0)


def leaving(scene: Scene) -> Iterator[str]:
    """Who answers callers goes on answering while it is taken off their lists, and a rollout stops nobody."""
    for container in scene.containers:
        if module_of(container) != "decision_service":
            continue
        if not container.spec.get("lifecycle", {}).get("preStop"):
            yield f"{container.name}: has no preStop: callers meet a closed door"
        if container.environment.get("SIDEARM_DECISION_SERVICE_LINGER_S", "0") in ("0", "0.0"):
            yield f"{container.name}: does not linger: callers who keep their connection meet a closed door"
        rolling = container.pod.workload["spec"].get("strategy", {}).get("rollingUpdate", {})
        if rolling.get("maxUnavailable") not in (0, "0%"):
            yield f"{container.pod.name}: a rollout takes pods away before others are there"
