"""Rendered manifests as data: what they are made of, for the rules to walk over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Object = dict[str, Any]
"""One Kubernetes object, as YAML has it."""

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


class Pod(NamedTuple):
    """The pods that one workload makes."""

    workload: Object
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Kind and name of the workload."""
        return named(self.workload)

    @property
    def runs_on(self) -> bool:
        """Whether it runs until it is told to stop: no job."""
        return self.workload["kind"] not in ("Job", "CronJob")

    @property
    def volumes(self) -> dict[str, Mapping[str, Any]]:
        """By name; those of claim templates too."""
        templates = self.workload.get("spec", {}).get("volumeClaimTemplates", [])
        return {v["name"]: v for v in self.spec.get("volumes", [])} | {
            t["metadata"]["name"]: t for t in templates
        }


class Container(NamedTuple):
    """One container of a pod."""

    pod: Pod
    spec: Mapping[str, Any]
    is_init: bool

    @property
    def name(self) -> str:
        """Workload and container."""
        return f"{self.pod.name}, container {self.spec['name']}"

    @property
    def stays(self) -> bool:
        """Whether it runs beside the others until the pod ends."""
        sidecar = self.spec.get("restartPolicy") == "Always"
        return self.pod.runs_on and (sidecar or not self.is_init)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with a value in the manifest; those from elsewhere are empty."""
        return {one["name"]: one.get("value", "") for one in self.spec.get("env", [])}

    @property
    def ports(self) -> dict[str, int]:
        """By name."""
        return {p.get("name", ""): p["containerPort"] for p in self.spec.get("ports", [])}


def named(item: Object) -> str:
    """``Deployment decision-service``."""
    return f"{item.get('kind', '?')} {item.get('metadata', {}).get('name', '?')}"


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    """Those of some kinds."""
    return [item for item in objects if item.get("kind") in kinds]


def pods(objects: Sequence[Object]) -> list[Pod]:
    """Of every workload."""
    return [_pod(item) for item in of_kind(objects, *WORKLOADS)]


def _pod(item: Object) -> Pod:
    spec = item["spec"]["jobTemplate"]["spec"] if item["kind"] == "CronJob" else item["spec"]
    template = spec["template"]
    return Pod(item, template.get("metadata", {}).get("labels", {}), template["spec"])


def containers(objects: Sequence[Object]) -> list[Container]:
    """Of every pod, the init containers first."""
    return [one for pod in pods(objects) for one in containers_of(pod)]


def containers_of(pod: Pod) -> Iterator[Container]:
    """Of one pod, the init containers first."""
    for spec in pod.spec.get("initContainers", []):
        yield Container(pod, spec, is_init=True)
    for spec in pod.spec.get("containers", []):
        yield Container(pod, spec, is_init=False)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector (``matchLabels``, ``matchExpressions``, or labels alone) takes these labels."""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return dict(selector).items() <= dict(labels).items()
    plain = selector.get("matchLabels", {}).items() <= dict(labels).items()
    return plain and all(_fits(one, labels) for one in selector.get("matchExpressions", []))


def _fits(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", [])
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None
