"""Containers and pods: started in their order, probed by their probes, ended as the kubelet ends them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.k8s.rehearsal.machine import can_lock, locked, placed, program, resolved
from tests.k8s.rehearsal.volumes import Spec, Volumes, mount, written_outside
from tests.processes import ROOT, Process, Processes
from tests.waiting import until

PATIENCE_S = 240.0
LOOK_S = 0.3
"""Between two probes while something starts: sooner than the kubelet, and no load of its own."""
INHERITED = ("PATH", "LANG", "LC_ALL")
"""All that a container's process has of this machine's environment."""


class Container:
    """One container of one pod."""

    def __init__(self, pod: Pod, spec: Spec) -> None:
        self.spec, self.name, self._pod = spec, spec["name"], pod
        self.root = pod.folder / self.name
        self.mounts = [m["mountPath"] for m in spec.get("volumeMounts", ())]
        self.process: Process | None = None

    def start(self) -> None:
        """Run its command; a container that is started again finds its volumes as they were."""
        mount(self.root, self._pod.volumes, list(self.spec.get("volumeMounts", ())))
        words = [self._here(word) for word in [*self.spec["command"], *self.spec.get("args", ())]]
        name = f"{self._pod.name}-{self.name}"
        command = program(words, self._pod.ip)
        if self._is_read_only() and can_lock():
            command = locked(command, self._pod.all_volumes)
        self.process = self._pod.processes.run(command, name, self._environ(), alone=True)

    def _is_read_only(self) -> bool:
        return bool(self.spec.get("securityContext", {}).get("readOnlyRootFilesystem"))

    def wait_until_started(self) -> None:
        """By its startup probe, or else by its readiness."""
        probe = self.spec.get("startupProbe") or self.spec.get("readinessProbe")
        if probe:
            patience_s = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
            until(lambda: self._has_started(probe), patience_s, f"{self.name} started", poll_s=LOOK_S)

    def _has_started(self, probe: Spec) -> bool:
        assert self.running.alive(), f"{self.name} ended:\n{self.running.output()}"
        return self.passes(probe)

    def wait_until_done(self) -> None:
        """It ends by itself, and well."""
        assert self.running.exit_code(PATIENCE_S) == 0, self.running.output()

    def is_ready(self) -> bool:
        """What its readiness probe says; without one it is."""
        return self.running.alive() and self.passes(self.spec.get("readinessProbe"))

    def is_alive(self) -> bool:
        """What its liveness probe says."""
        return self.running.alive() and self.passes(self.spec.get("livenessProbe"))

    def passes(self, probe: Spec | None) -> bool:
        """One look."""
        match probe:
            case None:
                return True
            case {"httpGet": get}:
                return _answers(f"http://{self._pod.ip}:{self._port(get['port'])}{get['path']}", probe)
            case {"tcpSocket": look}:
                return _listens(self._pod.ip, self._port(look["port"]))
            case {"exec": {"command": command}}:
                words = program([self._here(word) for word in command], self._pod.ip)
                done = subprocess.run(words, env=self._environ(), cwd=ROOT, capture_output=True)
                return done.returncode == 0
        raise AssertionError(f"the rehearsal knows no such probe: {probe}")

    def stop(self, grace_s: float) -> None:
        """The hook, SIGTERM, and no patience beyond the grace period."""
        match self.spec.get("lifecycle", {}).get("preStop"):
            case {"sleep": {"seconds": seconds}}:
                threading.Event().wait(seconds)
            case {"exec": {"command": command}}:
                subprocess.run([self._here(word) for word in command], env=self._environ(), check=False)
        if self.running.alive():
            code = self.running.stop(grace_s)
            assert code != -signal.SIGKILL, f"{self.name} did not end within {grace_s} s"

    @property
    def running(self) -> Process:
        """Its process, which was started."""
        assert self.process is not None
        return self.process

    def _environ(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        own = {"HOSTNAME": self._pod.name}
        if "/tmp" in self.mounts:
            own["TMPDIR"] = f"{self.root}/tmp"
        return inherited | own | {e["name"]: self._value(e) for e in self.spec.get("env", ())}

    def _value(self, variable: Spec) -> str:
        if source := variable.get("valueFrom"):
            if "fieldRef" in source:
                return self._pod.field(source["fieldRef"]["fieldPath"])
            return self._pod.cluster.value(source)
        return self._here(variable.get("value", ""))

    def _here(self, word: str) -> str:
        if word == "0.0.0.0":
            return self._pod.ip
        return placed(resolved(word, self._pod.hosts), self.root, self.mounts)

    def _port(self, port: int | str) -> int:
        named = {p["name"]: p["containerPort"] for p in self.spec.get("ports", ())}
        return named[port] if isinstance(port, str) else port


class Pod:
    """One pod: its volumes live as long as it does, its claims longer."""

    def __init__(
        self,
        name: str,
        ip: str,
        template: Spec,
        claims: list[Spec],
        cluster: Volumes,
        hosts: dict[str, str],
        processes: Processes,
        folder: Path,
    ) -> None:
        self.name, self.ip, self.template, self.folder = name, ip, template, folder / "pods" / name
        self.spec: Spec = template["spec"]
        self.all_volumes = folder
        self.cluster, self.hosts, self.processes = cluster, hosts, processes
        self.volumes = cluster.of_pod(name, self.spec, claims)
        self.first = [Container(self, spec) for spec in self.spec.get("initContainers", ())]
        self.main = [Container(self, spec) for spec in self.spec["containers"]]

    def start(self) -> None:
        """Init containers in their order, those that stay before the rest, then the containers."""
        for container in self.first:
            container.start()
            if container.spec.get("restartPolicy") == "Always":
                container.wait_until_started()
            else:
                container.wait_until_done()
        for container in self.main:
            container.start()
        if self.spec.get("restartPolicy") == "Never":  # of a job
            for container in self.main:
                container.wait_until_done()
            return
        for container in self.main:
            container.wait_until_started()
        until(self.is_ready, PATIENCE_S, f"{self.name} is ready", poll_s=LOOK_S)

    def is_ready(self) -> bool:
        """Every container is."""
        return all(container.is_ready() for container in self.lasting())

    def heal(self) -> None:
        """What the kubelet does with a container that ended: start it again."""
        for container in self.lasting():
            if not container.running.alive():
                container.start()
                container.wait_until_started()

    def container(self, name: str) -> Container:
        """By its name."""
        return next(c for c in self.lasting() if c.name == name)

    def lasting(self) -> Iterator[Container]:
        """All but init containers that have done their work."""
        yield from (c for c in self.first if c.spec.get("restartPolicy") == "Always")
        yield from self.main

    def terminate(self) -> None:
        """Containers first, native sidecars after them, the last started first."""
        grace_s = self.spec.get("terminationGracePeriodSeconds", 30)
        for container in [*self.main, *reversed([c for c in self.first if c.running.alive()])]:
            container.stop(grace_s)
        outside = [path for c in (*self.first, *self.main) for path in written_outside(c.root)]
        assert not outside, f"written outside the volumes of {self.name}: {outside}"

    def port(self, name: str) -> int:
        """A named port of one of its containers."""
        ports = (port for c in self.lasting() for port in c.spec.get("ports", ()))
        return next(int(port["containerPort"]) for port in ports if port["name"] == name)

    def field(self, path: str) -> str:
        """What the downward API says."""
        fields: dict[str, Any] = {"metadata.name": self.name, "status.podIP": self.ip}
        return str(fields[path])


def _answers(url: str, probe: Spec) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=probe.get("timeoutSeconds", 1)) as answer:
            return 200 <= answer.status < 400
    except (urllib.error.URLError, OSError):
        return False


def _listens(ip: str, port: int) -> bool:
    try:
        with socket.create_connection((ip, port), timeout=1):
            return True
    except OSError:
        return False
