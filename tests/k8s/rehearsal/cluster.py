"""What controllers do: pods for Deployments and StatefulSets, rolled when their template changes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.k8s.rehearsal.endpoints import Endpoints
from tests.k8s.rehearsal.machine import address
from tests.k8s.rehearsal.pods import Pod
from tests.k8s.rehearsal.volumes import Spec, Volumes
from tests.processes import Processes

Manifests = list[dict[str, Any]]
WORKLOADS = ("StatefulSet", "Deployment")
"""In the order in which they are started: what others need comes first."""


class Cluster:
    """The objects that were applied, and the pods that they made.

    Args:
        folder: of everything, on a path short enough for sockets.
        processes: starts and ends them.
    """

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.objects: dict[tuple[str, str], Spec] = {}
        self.pods: dict[str, list[Pod]] = {}
        self.endpoints: dict[str, Endpoints] = {}
        self.while_leaving: Callable[[Pod], object] = lambda pod: None
        """Waits until a pod that was told to stop has been used for a while by those who have not heard:
        the endpoints controller and every node's proxy take their time."""
        self._folder, self._processes = folder, processes
        self._hosts: dict[str, str] = {}
        self._numbers = itertools.count()

    def apply(self, manifests: Manifests) -> None:
        """As ``kubectl apply`` and the controllers after it: what is new is made, what changed is rolled."""
        before = dict(self.objects)
        self.objects |= {(m["kind"], m["metadata"]["name"]): m for m in manifests}
        for kind in WORKLOADS:
            changed = [
                (name, workload)
                for (of_kind, name), workload in self.objects.items()
                if of_kind == kind and _template(before.get((kind, name))) != _template(workload)
            ]
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda one: self._roll(*one), changed))

    def run_job(self, name: str) -> None:
        """One run of a CronJob, which must end well."""
        spec = self.objects["CronJob", name]["spec"]["jobTemplate"]["spec"]
        pod = self._pod(f"{name}-{next(self._numbers)}", spec)
        pod.start()
        pod.terminate()

    def stop(self, names: Iterable[str]) -> None:
        """The pods of these workloads, all at once."""
        pods = [pod for name in list(names) for pod in self.pods.pop(name)]
        with ThreadPoolExecutor(len(pods)) as pool:
            list(pool.map(Pod.terminate, pods))

    def replace(self, name: str) -> None:
        """Its first pod goes, as from a node that is drained, and another comes, with the same claims."""
        self._end(name, self.pods[name].pop(0))
        self._begin(name, self.objects[self._kind_of(name), name])

    def _roll(self, name: str, workload: Spec) -> None:
        replicas, old = self._replicas(name, workload), self.pods.get(name, [])
        self.pods[name] = list(old)
        surge = workload["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0)
        if not old:
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda _: self._begin(name, workload), range(replicas)))
            return
        for pod in old:
            for act in (self._begin, self._end) if surge else (self._end, self._begin):
                act(name, workload if act == self._begin else self._leaving(name, pod))

    def _begin(self, name: str, workload: Spec) -> None:
        number = 0 if workload["kind"] == "StatefulSet" else next(self._numbers)
        pod = self._pod(f"{name}-{number}", workload["spec"])
        pod.start()
        self.pods[name].append(pod)
        for service in self._services_of(pod.template):
            self.endpoints.setdefault(service, Endpoints()).add(pod)
            self._hosts[service] = self.endpoints[service].first.ip

    def _pod(self, name: str, spec: Spec) -> Pod:
        ip, claims = address(next(self._numbers)), spec.get("volumeClaimTemplates", [])
        volumes = Volumes(self._folder, self.objects, self._hosts)
        template, hosts = spec["template"], self._hosts
        return Pod(name, ip, template, claims, volumes, hosts, self._processes, self._folder)

    def _replicas(self, name: str, workload: Spec) -> int:
        """As many as it says; what leaves that to an autoscaler has as many as that one's least."""
        scalers = [o["spec"] for (kind, _), o in self.objects.items() if kind == "HorizontalPodAutoscaler"]
        least = next((s["minReplicas"] for s in scalers if s["scaleTargetRef"]["name"] == name), 1)
        return int(workload["spec"].get("replicas", least))

    def _leaving(self, name: str, pod: Pod) -> Pod:
        self.pods[name].remove(pod)
        return pod

    def _end(self, name: str, pod: Pod) -> None:
        """Told to stop at once, withdrawn a little later: in this order it happens in a cluster."""
        services = self._services_of(pod.template)
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(pod.terminate)
            if services:
                self.while_leaving(pod)
            for service in services:
                self.endpoints[service].remove(pod)
            ending.result()

    def _kind_of(self, name: str) -> str:
        return next(kind for kind in WORKLOADS if (kind, name) in self.objects)

    def _services_of(self, template: Spec) -> list[str]:
        labels = template["metadata"]["labels"]
        return [
            name
            for (kind, name), service in self.objects.items()
            if kind == "Service" and service["spec"]["selector"].items() <= labels.items()
        ]


def _template(workload: Spec | None) -> object:
    return workload and workload["spec"]["template"]
