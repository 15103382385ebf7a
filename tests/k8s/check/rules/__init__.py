"""What no schema knows: each rule is a function from a scene to its faults, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.k8s.check.rules import configured, learning, lifecycle, network, pods, ports, probes, selecting
from tests.k8s.check.scene import Scene

Rule = Callable[[Scene], Iterator[str]]

RULES: tuple[Rule, ...] = (
    pods.volumes,
    pods.places,
    pods.images,
    pods.resources,
    pods.latency,
    pods.pod_security,
    pods.accounts,
    pods.last_words,
    probes.probes,
    probes.questions,
    probes.commands,
    ports.named_ports,
    ports.listening,
    ports.routes,
    selecting.names,
    selecting.selectors,
    selecting.scaling,
    selecting.disruption,
    configured.application,
    configured.settings,
    configured.secrets,
    configured.configuration,
    configured.together,
    configured.disks,
    lifecycle.ending,
    lifecycle.leaving,
    learning.one_writer,
    learning.archiving,
    learning.jobs,
    network.network,
)


def broken(scene: Scene) -> Iterator[str]:
    """Every fault, with the rule that found it."""
    for rule in RULES:
        yield from (f"{rule.__name__}: {fault}" for fault in rule(scene))
