"""Rules about names and selectors: who is meant exists, and nobody else is meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tests.k8s.check.objects import Object, Pod, named, of_kind, selects
from tests.k8s.check.quantities import quantity
from tests.k8s.check.scene import Scene

_SCALERS = ("HorizontalPodAutoscaler", "ScaledObject")
_IN_NO_NAMESPACE = ("Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume")


def names(scene: Scene) -> Iterator[str]:
    """No object is there twice, and all are in one namespace, which is among them."""
    counted = Counter((o["kind"], o["metadata"]["name"]) for o in scene.objects)
    yield from (f"{kind} {name} is there {n} times" for (kind, name), n in counted.items() if n > 1)
    spaces = {s["metadata"]["name"] for s in of_kind(scene.objects, "Namespace")}
    for item in scene.objects:
        if item["kind"] not in _IN_NO_NAMESPACE and item["metadata"].get("namespace") not in spaces:
            yield f"{named(item)}: is in namespace {item['metadata'].get('namespace')}, which is not here"


def selectors(scene: Scene) -> Iterator[str]:
    """Whoever selects pods selects some: a selector that matches nothing is a typo."""
    for item in scene.objects:
        for where, selector in _selectors(item):
            if selector and not any(selects(selector, pod.labels) for pod in scene.pods):
                yield f"{named(item)}: {where} selects no pod: {dict(selector)}"
    for pod in scene.pods:
        yield from _own(scene, pod)


def _selectors(item: Object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    spec = item.get("spec", {})
    if item["kind"] in ("Service", "PodDisruptionBudget", "PodMonitor"):
        yield "selector", spec.get("selector", {})
    # A policy for pods that are not there opens nothing; those of the store are for where it is inside.
    if item["kind"] == "NetworkPolicy" and not item["metadata"]["name"].startswith("store-"):
        yield "podSelector", spec.get("podSelector", {})


def _own(scene: Scene, pod: Pod) -> Iterator[str]:
    """A workload selects its own pods and no other's; what its pods say of neighbours is of some."""
    selector = pod.workload["spec"].get("selector")
    if selector is not None:
        if not selects(selector, pod.labels):
            yield f"{pod.name}: its selector does not match its own pods"
        taken = [p.name for p in scene.pods if p.name != pod.name and selects(selector, p.labels)]
        yield from (f"{pod.name}: its selector matches the pods of {other}" for other in taken)
    for where, one in _neighbours(pod.spec):
        if not any(selects(one.get("labelSelector", {}), p.labels) for p in scene.pods):
            yield f"{pod.name}: {where}: selects no pod: {one.get('labelSelector')}"


def _neighbours(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in spec.get("topologySpreadConstraints", []):
        yield "topologySpreadConstraints", one
    for kind in ("podAffinity", "podAntiAffinity"):
        found = (spec.get("affinity") or {}).get(kind, {})
        for one in found.get("requiredDuringSchedulingIgnoredDuringExecution", []):
            yield kind, one
        for one in found.get("preferredDuringSchedulingIgnoredDuringExecution", []):
            yield kind, one["podAffinityTerm"]


def scaling(scene: Scene) -> Iterator[str]:
    """An autoscaler's target exists, has no number of its own, and no second autoscaler."""
    targets: Counter[str] = Counter()
    for scaler in of_kind(scene.objects, *_SCALERS):
        spec = scaler["spec"]
        wanted = f"{spec['scaleTargetRef'].get('kind', 'Deployment')} {spec['scaleTargetRef']['name']}"
        targets[wanted] += 1
        pod = next((p for p in scene.pods if p.name == wanted), None)
        if pod is None:
            yield f"{named(scaler)}: there is no {wanted}"
            continue
        if "replicas" in pod.workload["spec"]:
            yield f"{wanted}: says replicas, which {named(scaler)} says too: each apply would undo the other"
        least = spec.get("minReplicas", spec.get("minReplicaCount", 1))
        most = spec.get("maxReplicas", spec.get("maxReplicaCount", 100))
        if least > most:
            yield f"{named(scaler)}: at least {least}, at most {most}"
        yield from _measured(scaler, pod)
    yield from (f"{target}: has {n} autoscalers" for target, n in targets.items() if n > 1)


def _measured(scaler: Object, pod: Pod) -> Iterator[str]:
    """The container whose use of the processor is measured exists, and asks for some."""
    spec = scaler["spec"]
    wanted = [
        m["containerResource"]["container"] for m in spec.get("metrics", []) if "containerResource" in m
    ]
    wanted += [t["metadata"]["containerName"] for t in spec.get("triggers", []) if t["type"] == "cpu"]
    there = {c["name"]: c for c in pod.spec["containers"]}
    for name in wanted:
        if name not in there:
            yield f"{named(scaler)}: {pod.name} has no container {name}"
        elif not quantity(there[name].get("resources", {}).get("requests", {}).get("cpu", 0)):
            yield f"{named(scaler)}: container {name} asks for no cpu, of which it is a share"


def disruption(scene: Scene) -> Iterator[str]:
    """A budget lets a node be emptied, and the pods that answer callers have one."""
    budgets = of_kind(scene.objects, "PodDisruptionBudget")
    for budget in budgets:
        spec = budget["spec"]
        if not spec.get("maxUnavailable"):
            yield f"{named(budget)}: lets no pod go, so that no node can be emptied"
        if spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"{named(budget)}: pods that are ill hold a node up: needs AlwaysAllow"
    for service in of_kind(scene.objects, "Service"):
        for pod in scene.pods:
            if service["spec"].get("clusterIP") == "None" or not selects(
                service["spec"].get("selector", {}), pod.labels
            ):
                continue
            if not any(selects(b["spec"]["selector"], pod.labels) for b in budgets):
                yield f"{pod.name}: answers callers and has no PodDisruptionBudget"
            if not pod.spec.get("topologySpreadConstraints"):
                yield f"{pod.name}: answers callers and may be on one node: needs topologySpreadConstraints"
