"""Rules about what is inside a pod: volumes, images, resources, security, accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from tests.k8s.check.objects import Container, Pod, containers_of, of_kind
from tests.k8s.check.processes import is_ours, module_of
from tests.k8s.check.quantities import quantity
from tests.k8s.check.scene import Scene

_TAG = re.compile(r"[\w.-]+:[\w.-]*\d[\w.-]*$")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_LATENCY_PATH = ("decision_service", "sidecar.server")
_RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"}
_RESTRICTED_VOLUMES |= {"projected", "secret"}
_LEAST_USER = 10_000


def volumes(scene: Scene) -> Iterator[str]:
    """Every mount has its volume, every volume is mounted, and what it is made of is there."""
    there = {
        "configMap": {m["metadata"]["name"] for m in of_kind(scene.objects, "ConfigMap")},
        "persistentVolumeClaim": {
            c["metadata"]["name"] for c in of_kind(scene.objects, "PersistentVolumeClaim")
        },
    }
    for pod in scene.pods:
        mounted = {m["name"] for c in containers_of(pod) for m in c.spec.get("volumeMounts", [])}
        yield from (
            f"{pod.name}: {n} is mounted and is no volume" for n in sorted(mounted - set(pod.volumes))
        )
        yield from (f"{pod.name}: nobody mounts the volume {n}" for n in sorted(set(pod.volumes) - mounted))
        for name, volume in pod.volumes.items():
            for kind, names in there.items():
                made_of = volume.get(kind, {})
                wanted = made_of.get("name", made_of.get("claimName"))
                if wanted and wanted not in names:
                    yield f"{pod.name}: volume {name}: there is no {kind} {wanted}"


def places(scene: Scene) -> Iterator[str]:
    """Each process of ours has its application, its data folder and the store's address in a mount."""
    for container in filter(is_ours, scene.containers):
        mounts = [m["mountPath"] for m in container.spec.get("volumeMounts", [])]
        for variable in ("SIDEARM_APP", "SIDEARM_DATA", "REDIS_URL_FILE"):
            path = container.environment.get(variable)
            if path and not _is_within(path, mounts) and not _only_name(container, variable):
                yield f"{container.name}: {variable}={path} lies in no mount"


def _is_within(path: str, mounts: list[str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(mount) for mount in mounts)


def _only_name(container: Container, variable: str) -> bool:
    """Sidecar and joiner write nothing there."""
    return variable == "SIDEARM_DATA" and module_of(container) in ("sidecar.server", "policy_learner.joiner")


def images(scene: Scene) -> Iterator[str]:
    """Every image has a version or a digest; none is `latest`."""
    for container in scene.containers:
        image = container.spec.get("image", "")
        if not _DIGEST.search(image) and (not _TAG.search(image) or image.endswith(":latest")):
            yield f"{container.name}: image {image!r} has neither version nor digest"


def resources(scene: Scene) -> Iterator[str]:
    """Processor and memory are asked for, memory is limited, and what is asked for fits the limit."""
    for container in scene.containers:
        spec = container.spec.get("resources", {})
        try:
            requests = {k: quantity(v) for k, v in spec.get("requests", {}).items()}
            limits = {k: quantity(v) for k, v in spec.get("limits", {}).items()}
        except ValueError as error:
            yield f"{container.name}: {error}"
            continue
        missing = sorted({"cpu", "memory"} - set(requests))
        yield from (f"{container.name}: asks for no {one}" for one in missing)
        if "memory" not in limits:
            yield f"{container.name}: has no limit of memory"
        more = [one for one in requests if requests[one] > limits.get(one, requests[one])]
        yield from (f"{container.name}: asks for more {one} than its limit" for one in more)
    for pod in scene.pods:
        yield from _sizes(pod)


def _sizes(pod: Pod) -> Iterator[str]:
    for name, volume in pod.volumes.items():
        if "emptyDir" not in volume:
            continue
        if "sizeLimit" not in volume["emptyDir"]:
            yield f"{pod.name}: volume {name} may fill the node: it has no sizeLimit"
            continue
        try:
            quantity(volume["emptyDir"]["sizeLimit"])
        except ValueError as error:
            yield f"{pod.name}: volume {name}: {error}"


def latency(scene: Scene) -> Iterator[str]:
    """No limit of processor time where somebody waits for the answer: throttling shows in the tail."""
    for container in scene.containers:
        limits = container.spec.get("resources", {}).get("limits", {})
        if module_of(container) in _LATENCY_PATH and "cpu" in limits:
            yield f"{container.name}: has a limit of cpu"


def pod_security(scene: Scene) -> Iterator[str]:
    """Pod Security `restricted`, and more: a read-only root, no token, a user above 10,000."""
    for pod in scene.pods:
        yield from (f"{pod.name}: {fault}" for fault in _pod_faults(pod.spec))
    for container in scene.containers:
        yield from (f"{container.name}: {fault}" for fault in _container_faults(container.spec))
    for space in of_kind(scene.objects, "Namespace"):
        if space["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"Namespace {space['metadata']['name']}: does not enforce the restricted standard"


def _pod_faults(spec: Any) -> Iterator[str]:
    context = spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) < _LEAST_USER:
        yield "must run as a user above 10,000, not as root"
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "needs seccompProfile RuntimeDefault"
    if spec.get("automountServiceAccountToken") is not False:
        yield "mounts a token of the API server, which nobody here uses"
    if any(spec.get(one) for one in ("hostNetwork", "hostPID", "hostIPC")):
        yield "shares a namespace of its node"
    for volume in spec.get("volumes", []):
        if kinds := set(volume) - {"name"} - _RESTRICTED_VOLUMES:
            yield f"volume {volume['name']} is a {kinds.pop()}, which restricted pods may not have"


def _container_faults(spec: Any) -> Iterator[str]:
    context = spec.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "may gain privileges"
    if "ALL" not in context.get("capabilities", {}).get("drop", []) or context["capabilities"].get("add"):
        yield "keeps capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write to its image"
    if context.get("runAsUser", _LEAST_USER) < _LEAST_USER or context.get("runAsNonRoot") is False:
        yield "runs as another user than its pod says"
    if any("hostPort" in port for port in spec.get("ports", [])):
        yield "takes a port of its node"


def accounts(scene: Scene) -> Iterator[str]:
    """Every pod has an account of its own, and it exists."""
    there = {a["metadata"]["name"] for a in of_kind(scene.objects, "ServiceAccount")}
    for pod in scene.pods:
        if (name := pod.spec.get("serviceAccountName", "default")) not in there:
            yield f"{pod.name}: there is no ServiceAccount {name}"


def last_words(scene: Scene) -> Iterator[str]:
    """A process that ends says why in one line: `kubectl describe pod` must show it."""
    for container in filter(is_ours, scene.containers):
        if container.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            yield f"{container.name}: needs terminationMessagePolicy FallbackToLogsOnError"
