"""The rule about network policies: what is closed is closed on purpose, and what is needed is open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.k8s.check.objects import Container, Pod, containers_of, of_kind, selects
from tests.k8s.check.processes import BadSettings, command_of, module_of, settings_of
from tests.k8s.check.scene import Scene

_STORE = {"app.kubernetes.io/name": "store"}
_NAME = "kubernetes.io/metadata.name"
_STORE_PORTS = (6379, 6380)
_OBJECT_STORE_PORT = 443


class Peer(NamedTuple):
    """Who is on the other side."""

    labels: Mapping[str, str] | None = None
    """Of a pod in this namespace."""
    namespace: str = ""
    """The name of another one; ``*``: any that wears the right label."""
    is_outside: bool = False
    """An address beyond the cluster."""


class Edge(NamedTuple):
    """One thing that must be possible."""

    pod: Pod
    direction: str
    """``egress`` or ``ingress``."""
    peer: Peer
    ports: tuple[int, ...]
    """One of them."""
    why: str


def network(scene: Scene) -> Iterator[str]:
    """Where there are network policies everything is denied first, and each dependency has its edge."""
    policies = of_kind(scene.objects, "NetworkPolicy")
    if not policies:
        return
    if not any(_denies_all(policy["spec"]) for policy in policies):
        yield "no NetworkPolicy denies what the others do not name"
    for edge in _needed(scene):
        if not any(_is_open(policies, edge, port) for port in edge.ports):
            yield f"{edge.pod.name}: no NetworkPolicy lets it {edge.why}"


def _denies_all(spec: Mapping[str, Any]) -> bool:
    both = set(spec.get("policyTypes", [])) == {"Ingress", "Egress"}
    return both and not spec["podSelector"] and not spec.get("ingress") and not spec.get("egress")


def _needed(scene: Scene) -> Iterator[Edge]:
    stores = [pod for pod in scene.pods if selects(_STORE, pod.labels)]
    store = Peer(stores[0].labels) if stores else Peer(is_outside=True)
    for pod in scene.pods:
        yield Edge(pod, "egress", Peer(namespace="kube-system"), (53,), "ask for names (53)")
        if any("REDIS_URL_FILE" in c.environment for c in containers_of(pod)):
            yield Edge(pod, "egress", store, _STORE_PORTS, "reach the store")
            for one in stores:
                yield Edge(one, "ingress", Peer(pod.labels), _STORE_PORTS, f"be reached by {pod.name}")
        if any(_ships(scene, c) for c in containers_of(pod)):
            outside = Peer(is_outside=True)
            yield Edge(pod, "egress", outside, (_OBJECT_STORE_PORT,), "reach the object store (443)")
        yield from _asked(scene, pod)


def _asked(scene: Scene, pod: Pod) -> Iterator[Edge]:
    """By callers, and by who collects figures."""
    if any(module_of(c) == "decision_service" for c in containers_of(pod)):
        ports = tuple(p for c in containers_of(pod) for p in c.ports.values())
        yield Edge(pod, "ingress", Peer(namespace="*"), ports, "be reached by callers")
    for monitor in of_kind(scene.objects, "PodMonitor"):
        if selects(monitor["spec"]["selector"], pod.labels):
            named = {name: p for c in containers_of(pod) for name, p in c.ports.items()}
            wanted = tuple(named.get(e["port"], 0) for e in monitor["spec"]["podMetricsEndpoints"])
            yield Edge(pod, "ingress", Peer(namespace="monitoring"), wanted, "be scraped from `monitoring`")


def _ships(scene: Scene, container: Container) -> bool:
    """Whether its settings, or its command, name an object store."""
    if any(word.startswith("s3://") for word in command_of(container)):
        return True
    try:
        found = settings_of(container, scene.application) if scene.application else None
    except BadSettings:
        return False
    used = {"policy_learner": "backup_to", "policy_learner.archiver": "archive_url"}.get(module_of(container))
    return bool(used and str(getattr(found, used, "")).startswith("s3://"))


def _is_open(policies: Sequence[Mapping[str, Any]], edge: Edge, port: int) -> bool:
    """Whether one rule of one policy lets the edge through."""
    peers, direction = {"ingress": "from", "egress": "to"}[edge.direction], edge.direction
    return any(
        _has_port(rule.get("ports"), port, edge) and _has_peer(rule.get(peers), edge.peer)
        for policy in policies
        if selects(policy["spec"]["podSelector"], edge.pod.labels)
        for rule in policy["spec"].get(direction, [])
    )


def _has_port(ports: Sequence[Mapping[str, Any]] | None, wanted: int, edge: Edge) -> bool:
    named = {name: p for c in containers_of(edge.pod) for name, p in c.ports.items()}
    return ports is None or any(named.get(p.get("port"), p.get("port")) == wanted for p in ports)


def _has_peer(peers: Sequence[Mapping[str, Any]] | None, wanted: Peer) -> bool:
    return peers is None or any(_is_peer(peer, wanted) for peer in peers)


def _is_peer(peer: Mapping[str, Any], wanted: Peer) -> bool:
    if wanted.is_outside or "ipBlock" in peer:
        return wanted.is_outside and "ipBlock" in peer
    if wanted.labels is not None:
        return "namespaceSelector" not in peer and selects(peer.get("podSelector", {}), wanted.labels)
    if "namespaceSelector" not in peer:
        return False
    if wanted.namespace == "*":  # whoever wears a label of ours, not a namespace by its name
        return _NAME not in peer["namespaceSelector"].get("matchLabels", {})
    return selects(peer["namespaceSelector"], {_NAME: wanted.namespace})
