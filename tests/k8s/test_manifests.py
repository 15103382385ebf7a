"""The manifests render with the real kubectl and hold up against the schemas and our own rules."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import yaml

from decision_service.settings import ServiceSettings
from policy_learner.settings import LearnerSettings
from sidecar.contracts.application import load_application
from sidecar.contracts.catalogue import load_catalogue
from sidecar.server.settings import SidecarSettings

pytestmark = pytest.mark.slow
BASE = Path(__file__).parents[2] / "k8s" / "overlays" / "dev"
VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
SETTINGS = {"DECISION_SERVICE": ServiceSettings, "SIDECAR": SidecarSettings, "LEARNER": LearnerSettings}
COMMON_ENVIRONMENT = {"SIDEARM_APP", "SIDEARM_DATA", "REDIS_URL_FILE"}


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    if shutil.which("kubectl") is None:
        if os.environ.get("CI"):
            pytest.fail("kubectl is needed where CI is set: it renders the manifests")
        pytest.skip("no kubectl on this machine: it renders the manifests")
    done = subprocess.run(["kubectl", "kustomize", str(BASE)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def pod_specs(objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (o["metadata"]["name"], o["spec"]["template"]["spec"])
        for o in objects
        if o["kind"] in ("Deployment", "StatefulSet")
    ]


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return spec.get("initContainers", []) + spec["containers"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_schema_of(version: str, objects: list[dict[str, Any]]) -> None:
    """No unknown field and no wrong type under any supported Kubernetes."""
    for item in objects:
        kubernetes_validate.validate(item, version, strict=True)


def test_a_misspelt_field_is_refused(objects: list[dict[str, Any]]) -> None:
    """The validation can fail."""
    deployment = next(o for o in objects if o["kind"] == "Deployment")
    broken = deployment | {"spec": deployment["spec"] | {"replicaz": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replicaz"):
        kubernetes_validate.validate(broken, "1.33", strict=True)


def test_every_mount_has_its_volume(objects: list[dict[str, Any]]) -> None:
    """A container mounts only what its pod or its claim templates offer."""
    templates = {
        t["metadata"]["name"] for o in objects for t in o.get("spec", {}).get("volumeClaimTemplates", [])
    }
    for name, spec in pod_specs(objects):
        offered = {v["name"] for v in spec.get("volumes", [])} | templates
        for container in containers(spec):
            assert {m["name"] for m in container["volumeMounts"]} <= offered, name


def test_pods_meet_the_restricted_standard(objects: list[dict[str, Any]]) -> None:
    """Non-root, read-only root, no capability, no token, no escalation."""
    for name, spec in pod_specs(objects):
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in containers(spec):
            locked = container["securityContext"]
            assert locked["readOnlyRootFilesystem"]
            assert not locked["allowPrivilegeEscalation"]
            assert locked["capabilities"] == {"drop": ["ALL"]}


def test_services_and_budgets_select_pods_that_exist(objects: list[dict[str, Any]]) -> None:
    """A selector that matches nothing is a typo."""
    labels = [
        o["spec"]["template"]["metadata"]["labels"]
        for o in objects
        if o["kind"] in ("Deployment", "StatefulSet")
    ]
    for item in objects:
        if item["kind"] not in ("Service", "PodDisruptionBudget"):
            continue
        wanted = item["spec"]["selector"].get("matchLabels", item["spec"]["selector"])
        assert any(wanted.items() <= have.items() for have in labels), item["metadata"]["name"]


def test_images_are_pinned_and_probes_are_set(objects: list[dict[str, Any]]) -> None:
    """No floating tag; whatever runs can be seen to be alive."""
    for name, spec in pod_specs(objects):
        for container in containers(spec):
            tag = container["image"].rpartition(":")[2]
            assert tag not in ("", "latest", container["image"]), name
            assert "livenessProbe" in container, container["name"]


def test_the_environment_names_settings_that_exist(objects: list[dict[str, Any]]) -> None:
    """Each SIDEARM_* variable is a field of the settings of its process."""
    for _, spec in pod_specs(objects):
        for container in containers(spec):
            for name in {e["name"] for e in container.get("env", [])} - COMMON_ENVIRONMENT:
                section = next(s for s in SETTINGS if name.startswith(f"SIDEARM_{s}_"))
                field = name.removeprefix(f"SIDEARM_{section}_").lower()
                assert field in {f.name for f in msgspec.structs.fields(SETTINGS[section])}, name


def test_the_application_that_is_deployed_loads() -> None:
    """The ConfigMap's files are an application that the processes accept."""
    folder = BASE.parents[1] / "base" / "application"
    assert load_catalogue(folder, load_application(folder)).arms
