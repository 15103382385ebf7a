"""The real kubectl applies, compares, gets and deletes what we ship, against the stand-in API server."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.apiserver.server import Server, running
from tests.k8s.check.rendering import written_set
from tests.k8s.check.sets import Set, offered
from tests.k8s.custom_definitions import definitions
from tests.k8s.kubectl import K8S, Kubectl
from tests.waiting import until

pytestmark = pytest.mark.slow
APPLY = ("apply", "--server-side", "-k")
SHIPPED = sorted(p.parent for p in K8S.glob("overlays/*/kustomization.yaml"))
FROM_INPUT = ("apply", "--server-side", "-f", "-")
DIFF = ("diff", "--server-side", "-k")
WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def kubectl(server: Server, tmp_path: Path) -> Kubectl:
    return Kubectl(server.url, tmp_path)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of k8s/base that a test may change."""
    return Path(shutil.copytree(K8S / "base", tmp_path / "k8s" / "base"))


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", **metadata},
    }


def change(base: Path, old: str, new: str, file: str = "decision-service/deployment.yaml") -> None:
    text = (base / file).read_text()
    assert old in text
    (base / file).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_what_is_shipped_is_applied_compared_got_and_deleted(
    folder: Path, kubectl: Kubectl, server: Server
) -> None:
    """One life of the whole; a second apply changes nothing, and nothing is left at the end."""
    applied = kubectl.ok(*APPLY, folder).splitlines()
    assert "deployment.apps/decision-service serverside-applied" in applied
    revision = server.cluster.objects.revision
    kubectl.ok(*APPLY, folder)
    assert server.cluster.objects.revision == revision, "the second changed nothing"
    assert kubectl.ok(*DIFF, folder) == ""
    assert "deployment.apps/decision-service" in kubectl.ok("get", "deploy,svc", "-n", "sidearm")
    deleted = kubectl.ok("delete", "-k", folder).splitlines()
    assert len(deleted) == len(applied)
    assert kubectl.run("get", "namespace", "sidearm").returncode == 1
    assert server.cluster.objects.inside("sidearm") == []


@pytest.fixture
def with_operators(kubectl: Kubectl) -> Kubectl:
    """A cluster on which KEDA, the Prometheus operator and the Gateway API are installed."""
    for definition in definitions():
        kubectl.ok(*FROM_INPUT, manifest=definition)
    return kubectl


LARGEST = [one for one in offered() if len(one.components) == 4 or "redis-cluster" in one.components]


@pytest.mark.parametrize("one", LARGEST, ids=lambda one: one.name)
def test_what_the_readme_offers_is_applied_compared_and_deleted(
    one: Set, with_operators: Kubectl, server: Server
) -> None:
    """Custom resources too; a second apply changes nothing, and what is deleted is gone."""
    with written_set(one.base, one.components) as folder:
        applied = with_operators.ok(*APPLY, folder).splitlines()
        revision = server.cluster.objects.revision
        with_operators.ok(*APPLY, folder)
        assert server.cluster.objects.revision == revision, "the second changed nothing"
        assert with_operators.ok(*DIFF, folder) == ""
        assert len(applied) == len(one.render())
        with_operators.ok("delete", "-k", folder)
    assert server.cluster.objects.inside("sidearm") == []


def test_without_its_operator_a_component_is_refused(kubectl: Kubectl) -> None:
    """The first apply on a cluster that has no KEDA: what is missing is named."""
    (one,) = (s for s in offered() if s.components == ("keda", "monitoring"))
    with written_set(one.base, one.components) as folder:
        said = kubectl.run(*APPLY, folder)
    assert said.returncode == 1
    for kind in ("ScaledObject", "PodMonitor", "PrometheusRule"):
        assert f'no matches for kind "{kind}"' in said.stderr


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        ("ScaledObject", {"maxReplicas": 3}, 'unknown field "spec.maxReplicas"'),
        ("HTTPRoute", {"hostname": "a.example.com"}, 'unknown field "spec.hostname"'),
        ("PodMonitor", {"podMetricsEndpoints": "http"}, "spec.podMetricsEndpoints"),
    ],
)
def test_a_mistake_in_a_custom_resource_is_refused(
    kind: str, wrong: dict[str, Any], said: str, with_operators: Kubectl
) -> None:
    """As strictly as in a kind of Kubernetes' own."""
    (whole,) = (s for s in offered() if len(s.components) == 4)
    item = next(o for o in whole.render() if o["kind"] == kind)
    with_operators.ok("apply", "--server-side", "-f", K8S / "base" / "namespace.yaml")
    refused = with_operators.run(*FROM_INPUT, manifest=item | {"spec": item["spec"] | wrong})
    assert refused.returncode == 1
    assert said in refused.stderr


def test_what_runs_is_taken_down_and_what_holds_stays(kubectl: Kubectl, server: Server) -> None:
    """As docs/operations.md says it: claims, Secrets and the namespace are there for the next apply."""
    folder = K8S / "overlays" / "dev"
    kubectl.ok(*APPLY, folder)
    runbook = (K8S.parent / "docs" / "operations.md").read_text()
    (words,) = re.findall(r"^kubectl (-n sidearm delete [a-z,]+ -l \S+)", runbook, re.MULTILINE)
    kubectl.ok(*words.split())
    left = {address[0] for address in server.cluster.objects.inside("sidearm")}
    assert {"persistentvolumeclaims", "secrets", "configmaps", "services"} <= left
    assert not left & {
        "deployments.apps",
        "statefulsets.apps",
        "cronjobs.batch",
        "horizontalpodautoscalers.autoscaling",
    }
    kubectl.ok(*APPLY, folder)
    assert kubectl.ok(*DIFF, folder) == ""


def test_older_servers_are_discovered_group_by_group(tmp_path: Path) -> None:
    with running(aggregated=False) as server:
        kubectl = Kubectl(server.url, tmp_path)
        kubectl.ok("apply", "--server-side", "-f", K8S / "base" / "namespace.yaml")
        assert kubectl.get("ns", "sidearm")["metadata"]["name"] == "sidearm"


def test_diff_shows_what_an_apply_would_change_and_changes_nothing(
    kubectl: Kubectl, base: Path, server: Server
) -> None:
    kubectl.ok(*APPLY, base)
    before = server.cluster.objects.revision
    change(base, "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 60")
    different = kubectl.run(*DIFF, base)
    assert different.returncode == 1
    assert "-      terminationGracePeriodSeconds: 45" in different.stdout
    assert "+      terminationGracePeriodSeconds: 60" in different.stdout
    assert server.cluster.objects.revision == before


def test_a_field_that_is_no_longer_applied_goes(kubectl: Kubectl, base: Path) -> None:
    """Who applied a field owns it, so that leaving it out removes it."""
    kubectl.ok(*APPLY, base)
    change(base, "      terminationGracePeriodSeconds: 45\n", "")
    change(base, "            - { name: SIDEARM_DECISION_SERVICE_HOST, value: 0.0.0.0 }\n", "")
    kubectl.ok(*APPLY, base)
    pod = kubectl.get("deploy", "decision-service", "-n", "sidearm")["spec"]["template"]["spec"]
    assert "terminationGracePeriodSeconds" not in pod
    names = {variable["name"] for variable in pod["containers"][0]["env"]}
    assert "SIDEARM_DECISION_SERVICE_HOST" not in names
    assert "SIDEARM_APP" in names


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  template:", "  tempalte:", 'unknown field "spec.tempalte"'),
        (
            "            limits: { memory: 512Mi }",
            "            limit: { memory: 512Mi }",
            'unknown field "spec.template.spec.initContainers[0].resources.limit"',
        ),
        (
            "terminationGracePeriodSeconds: 45",
            "terminationGracePeriodSeconds: long",
            "spec.template.spec.terminationGracePeriodSeconds: 'long' is not of type 'integer'",
        ),
        ("  name: decision-service\n", "  name: Decision_Service\n", "metadata.name"),
    ],
)
def test_a_mistake_is_refused_and_named(old: str, new: str, said: str, kubectl: Kubectl, base: Path) -> None:
    """kubectl shows where it is; the object does not come to be."""
    change(base, old, new)
    refused = kubectl.run(*APPLY, base)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert kubectl.run("get", "deploy", "decision-service", "-n", "sidearm").returncode == 1


def test_a_kind_that_no_longer_exists_is_refused(kubectl: Kubectl, base: Path) -> None:
    change(base, "policy/v1", "policy/v1beta1", "decision-service/pdb.yaml")
    refused = kubectl.run(*APPLY, base)
    assert 'no matches for kind "PodDisruptionBudget" in version "policy/v1beta1"' in refused.stderr


def test_a_field_of_another_manager_changes_only_by_force(kubectl: Kubectl, base: Path) -> None:
    """An autoscaler that was given the replicas keeps them; the rest of the object is ours still."""
    kubectl.ok(*APPLY, base)
    scale: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "joiner", "namespace": "sidearm"},
        "spec": {"replicas": 7},
    }
    as_scaler = ("apply", "--server-side", "--field-manager", "scaler", "-f", "-")
    refused = kubectl.run(*as_scaler, manifest=scale)
    assert refused.returncode == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in refused.stderr
    kubectl.ok(*as_scaler, "--force-conflicts", manifest=scale)
    taken = kubectl.run(*APPLY, base)
    assert taken.returncode == 1
    assert 'conflict with "scaler": .spec.replicas' in taken.stderr
    change(base, "  replicas: 2\n", "", "joiner/deployment.yaml")
    kubectl.ok(*APPLY, base)
    assert kubectl.get("deploy", "joiner", "-n", "sidearm")["spec"]["replicas"] == 7


def test_what_cannot_change_is_refused(kubectl: Kubectl, base: Path) -> None:
    """An upgrade that would need the Deployment to be made anew is seen before a cluster sees it."""
    kubectl.ok(*APPLY, base)
    text = (base / "decision-service/deployment.yaml").read_text()
    renamed = text.replace("app.kubernetes.io/name: decision-service", "app.kubernetes.io/name: decider")
    (base / "decision-service/deployment.yaml").write_text(renamed)
    assert "spec.selector: field is immutable" in kubectl.run(*APPLY, base).stderr


def test_an_object_needs_its_namespace(kubectl: Kubectl, base: Path) -> None:
    change(base, "  - namespace.yaml\n", "", "kustomization.yaml")
    assert 'namespaces "sidearm" not found' in kubectl.run(*APPLY, base).stderr


def test_custom_resources_are_known_by_their_definitions(kubectl: Kubectl) -> None:
    """Unknown before; then served, discovered, and as strict as the rest."""
    widget = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "one", "namespace": "default"},
        "spec": {"size": 1},
    }
    assert 'no matches for kind "Widget"' in kubectl.run(*FROM_INPUT, manifest=widget).stderr
    kubectl.ok(*FROM_INPUT, manifest=WIDGETS)
    kubectl.ok(*FROM_INPUT, manifest=widget)
    assert kubectl.get("widgets", "one")["spec"] == {"size": 1}
    wrong = kubectl.run(*FROM_INPUT, manifest=widget | {"spec": {"sise": 1}})
    assert 'unknown field "spec.sise"' in wrong.stderr


def test_who_waits_for_a_deletion_is_told(kubectl: Kubectl, server: Server) -> None:
    """A finalizer holds the object, marked, until its owner takes it off; the watch ends then."""
    kubectl.ok(*FROM_INPUT, manifest=config_map("held", finalizers=["example.com/hold"]))
    waiting = threading.Thread(target=kubectl.ok, args=("delete", "cm", "held"))
    waiting.start()
    until(lambda: any("watch=true" in line for line in server.asked), what="kubectl watches")
    assert "deletionTimestamp" in kubectl.get("cm", "held")["metadata"]
    kubectl.ok(*FROM_INPUT, manifest=config_map("held"))
    waiting.join(30)
    assert not waiting.is_alive()
    assert kubectl.run("get", "cm", "held").returncode == 1


def test_what_the_stand_in_cannot_do_it_says(kubectl: Kubectl) -> None:
    """No client-side apply, no protocol buffers: an answer in words, not a broken connection."""
    assert "use apply --server-side" in kubectl.run("create", "cm", "one", "--from-literal=a=b").stderr


def test_a_dry_run_of_the_server_leaves_nothing(kubectl: Kubectl, server: Server) -> None:
    kubectl.ok("apply", "--server-side", "-f", K8S / "base" / "namespace.yaml")
    revision = server.cluster.objects.revision
    assert "server dry run" in kubectl.ok(*APPLY, K8S / "base", "--dry-run=server")
    assert server.cluster.objects.revision == revision
