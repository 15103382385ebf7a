"""Rules about ports: named, said by their names, and somebody listens there."""

from __future__ import annotations

from collections.abc import Iterator

from tests.k8s.check.objects import Container, Object, of_kind, selects
from tests.k8s.check.processes import BadSettings, module_of, settings_of
from tests.k8s.check.rules.probes import KINDS
from tests.k8s.check.scene import Scene

_PORT_OF = {"decision_service": ("host", "port"), "policy_learner": ("metrics_host", "metrics_port")}
_EVERYWHERE = ("0.0.0.0", "::")


def named_ports(scene: Scene) -> Iterator[str]:
    """A port has a name, and whoever means it says the name: probes, Services, monitors."""
    for container in scene.containers:
        for kind in KINDS:
            probe = container.spec.get(kind, {})
            port = probe.get("httpGet", probe.get("tcpSocket", {})).get("port")
            if port is not None and port not in container.ports:
                yield f"{container.name}: {kind}: there is no port named {port}"
        if "" in container.ports:
            yield f"{container.name}: port {container.ports['']} has no name"
    for service in of_kind(scene.objects, "Service"):
        for port in service["spec"].get("ports", []):
            yield from _behind(scene, service, service["spec"].get("selector", {}), port.get("targetPort"))
    for monitor in of_kind(scene.objects, "PodMonitor"):
        for end in monitor["spec"].get("podMetricsEndpoints", []):
            yield from _behind(scene, monitor, monitor["spec"].get("selector", {}), end.get("port"))


def _behind(scene: Scene, item: Object, selector: dict[str, str], port: object) -> Iterator[str]:
    """Whether one of the pods that are selected has the port."""
    names = {name for c in scene.containers if selects(selector, c.pod.labels) for name in c.ports}
    if port not in names:
        yield f"{item['kind']} {item['metadata']['name']}: no pod behind it has a port named {port}"


def listening(scene: Scene) -> Iterator[str]:
    """The port in the manifest is the port in the settings, and open to other pods."""
    for container in scene.containers:
        yield from _listens(scene, container)


def _listens(scene: Scene, container: Container) -> Iterator[str]:
    names = _PORT_OF.get(module_of(container))
    if names is None or scene.application is None:
        return
    try:
        settings = settings_of(container, scene.application)
    except BadSettings:
        return  # said by the rule about settings
    host, port = (getattr(settings, name) for name in names)
    if port not in container.ports.values():
        yield f"{container.name}: listens on {port}, and names {container.ports or 'no port'}"
    if host not in _EVERYWHERE:
        yield f"{container.name}: listens on {host}, where no other pod reaches it"


def routes(scene: Scene) -> Iterator[str]:
    """A route leads to a port of a Service that exists, and lets neither figures nor probes out."""
    services = {s["metadata"]["name"]: s["spec"]["ports"] for s in of_kind(scene.objects, "Service")}
    for route in of_kind(scene.objects, "HTTPRoute"):
        name = route["metadata"]["name"]
        for rule in route["spec"].get("rules", []):
            for backend in rule.get("backendRefs", []):
                if backend.get("port") not in {p["port"] for p in services.get(backend["name"], [])}:
                    yield f"HTTPRoute {name}: no Service {backend['name']} has port {backend.get('port')}"
            paths = [match.get("path", {}).get("value", "/") for match in rule.get("matches", [{}])]
            if any(not path.startswith("/v1") for path in paths):
                yield f"HTTPRoute {name}: {', '.join(paths)} lets out more than /v1"
