"""Rules about settings: what is configured is what the code knows, and it all goes together."""

from __future__ import annotations

from collections.abc import Iterator

from decision_service.settings import ServiceSettings
from tests.k8s.check.objects import Container, containers_of, of_kind
from tests.k8s.check.processes import (
    EVERYWHERE,
    BadSettings,
    is_ours,
    module_of,
    section_of,
    settings_of,
)
from tests.k8s.check.quantities import quantity
from tests.k8s.check.scene import Scene

_DECOYS = 2
_KEYS_OF_OBJECT_STORES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""The one thing that is told by environment: the library that speaks to object stores reads no files."""


def application(scene: Scene) -> Iterator[str]:
    """The application in the ConfigMap is one that every process accepts."""
    if scene.application is None:
        yield f"the application does not load: {scene.complaint}"


def settings(scene: Scene) -> Iterator[str]:
    """Each SIDEARM_ variable is a setting of its process with a legal value; so is what app.toml says."""
    for container in filter(is_ours, scene.containers):
        if scene.application is not None:
            try:
                settings_of(container, scene.application)
            except BadSettings as error:
                yield f"{container.name}: {error}"
        section = section_of(container)
        known = ("AWS_", "OTEL_", *([f"SIDEARM_{section.name.upper()}_"] if section else []))
        for name in sorted(set(container.environment) - EVERYWHERE):
            if not name.startswith(known):
                yield f"{container.name}: nothing here reads {name}"


def secrets(scene: Scene) -> Iterator[str]:
    """Secrets are files: neither in the environment nor in a ConfigMap; and the keys are named."""
    for container in scene.containers:
        for one in container.spec.get("env", []):
            if "secretKeyRef" in one.get("valueFrom", {}) and one["name"] not in _KEYS_OF_OBJECT_STORES:
                yield f"{container.name}: {one['name']} comes from a Secret by environment: mount it"
            if "://" in one.get("value", "") and "@" in one["value"]:
                yield f"{container.name}: {one['name']} holds a password"
        if any("secretRef" in one for one in container.spec.get("envFrom", [])):
            yield f"{container.name}: takes a whole Secret into its environment"
    for item in of_kind(scene.objects, "ConfigMap"):
        for key, text in item.get("data", {}).items():
            if "draw_secret" in key or "draw_secret =" in text or "sha256" in key:
                yield f"ConfigMap {item['metadata']['name']}: {key} belongs into a Secret"


def together(scene: Scene) -> Iterator[str]:
    """Service and sidecar mean the same socket, on a volume in memory that both mount."""
    for pod in scene.pods:
        by_module = {module_of(c): c for c in containers_of(pod)}
        service, sidecar = by_module.get("decision_service"), by_module.get("sidecar.server")
        if service is None:
            continue
        if sidecar is None:
            yield f"{pod.name}: has no sidecar"
            continue
        ours = service.environment.get("SIDEARM_DECISION_SERVICE_SIDECAR_SOCKET", "")
        theirs = sidecar.environment.get("SIDEARM_SIDECAR_SOCKET", "")
        if not ours or ours != theirs:
            yield f"{pod.name}: the service asks at {ours or '?'}, the sidecar listens at {theirs or '?'}"
        shared = {_volume_at(service, ours), _volume_at(sidecar, theirs)}
        medium = [pod.volumes.get(v, {}).get("emptyDir", {}).get("medium") for v in shared]
        if len(shared) != 1 or medium != ["Memory"]:
            yield f"{pod.name}: the socket is not on one volume in memory"


def _volume_at(container: Container, path: str) -> str:
    mounts = [m for m in container.spec.get("volumeMounts", []) if path.startswith(m["mountPath"])]
    return str(max(mounts, key=lambda m: len(m["mountPath"]), default={"name": ""})["name"])


def disks(scene: Scene) -> Iterator[str]:
    """What a service may write down fits its volume: else the node evicts it in an outage of the store."""
    for container in scene.containers:
        if module_of(container) != "decision_service" or scene.application is None:
            continue
        try:
            found = settings_of(container, scene.application)
        except BadSettings:
            continue
        assert isinstance(found, ServiceSettings)
        volume = container.pod.volumes.get(_volume_at(container, "/var/lib/sidearm/spool"), {})
        room = quantity(volume.get("emptyDir", {}).get("sizeLimit", "1Pi"))
        needed = found.spool_bytes + _DECOYS * found.decoy_bytes
        if needed > room:
            yield f"{container.name}: spool and decoys may take {needed:,}, their volume has {room:,.0f}"


def configuration(scene: Scene) -> Iterator[str]:
    """A change of the application or of a generated Secret rolls the pods: its name holds its hash."""
    for item in of_kind(scene.objects, "ConfigMap", "Secret"):
        name = item["metadata"]["name"]
        if not _has_hash(name) and "grafana_dashboard" not in item["metadata"].get("labels", {}):
            yield f"{item['kind']} {name}: has no hash in its name: a change would roll no pod"


def _has_hash(name: str) -> bool:
    last = name.rpartition("-")[2]
    return len(last) == 10 and last.isalnum() and any(c.isdigit() for c in last)
