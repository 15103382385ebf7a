"""The manifests render with the real kubectl, fit every supported release, and hold to the rules."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.check.__main__ import main
from tests.k8s.check.objects import WORKLOADS, pods
from tests.k8s.check.rendered import files
from tests.k8s.check.rendering import K8S, kubectl, parsed, render_set
from tests.k8s.check.rules import RULES
from tests.k8s.check.schemas import faults
from tests.k8s.check.sets import Set, every_set, offered
from tests.k8s.check.verdict import verdict
from tests.k8s.mutants import MUTANTS, Mutant, broken

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _with_kubectl() -> None:
    if kubectl() is None:
        if os.environ.get("CI"):
            pytest.fail("kubectl is needed where CI is set: it renders the manifests")
        pytest.skip("no kubectl on this machine: it renders the manifests")


@functools.cache
def rendered(overlay: str, components: tuple[str, ...]) -> list[dict[str, Any]]:
    return render_set(K8S / "overlays" / overlay, components)


@pytest.mark.parametrize("one", every_set(), ids=lambda one: one.name)
def test_a_set_renders_fits_the_schemas_and_breaks_no_rule(one: Set) -> None:
    """Overlays, each component alone, and what the README offers."""
    assert list(verdict(one.render())) == []


@pytest.mark.parametrize("release", ["1.27", "1.28", "1.29"])
def test_older_clusters_take_the_sidecar_as_a_second_container(release: str) -> None:
    """The component's own promise: nothing in it is newer than they are."""
    objects = rendered("dev", ("legacy-sidecar",))
    assert list(faults(objects, release)) == []
    (pod,) = [p for p in pods(objects) if p.name == "Deployment decision-service"]
    assert [c["name"] for c in pod.spec["containers"]] == ["service", "sidecar"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what.replace(" ", "_"))
def test_what_is_broken_is_noticed_by_who_should(mutant: Mutant) -> None:
    """A rule that cannot fail is none; a fault that shows elsewhere only would be hard to find."""
    said = list(verdict(broken(rendered(*mutant.of), mutant), ["1.33"]))
    assert mutant.caught_by in {line.partition(":")[0] for line in said}, said


def test_every_rule_has_somebody_to_notice() -> None:
    """A rule without a mutant proves nothing."""
    assert {rule.__name__ for rule in RULES} <= {mutant.caught_by for mutant in MUTANTS}


def test_what_is_committed_is_what_renders() -> None:
    """``make k8s WRITE=1`` writes it; read as data, since kubectl's versions differ in quotes."""
    for path, text in files().items():
        assert parsed(path.read_text()) == parsed(text), path.name


def test_no_rendered_file_is_left_over() -> None:
    """Of an overlay that is gone."""
    assert sorted((K8S / "rendered").iterdir()) == sorted(files())


def test_the_readme_offers_sets_and_every_component_is_in_one() -> None:
    """Nothing lies in components that nobody is told of."""
    told = {component for one in offered() for component in one.components}
    assert told | {"redis"} == {folder.name for folder in (K8S / "components").iterdir()}


def test_a_file_of_the_base_holds_one_object() -> None:
    """One object a file, named by its kind or its own name; every file is in a kustomization."""
    for path in (K8S / "base").rglob("*.yaml"):
        objects = parsed(path.read_text())
        assert len(objects) == 1, path
        listed = (path.parent / "kustomization.yaml").read_text()
        assert path.name == "kustomization.yaml" or path.name in listed, path
        if objects[0]["kind"] in WORKLOADS:
            assert objects[0]["metadata"]["labels"]["app.kubernetes.io/name"], path


def test_a_folder_of_ones_own_can_be_looked_at(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The same rules for a user's overlay; what does not render is said and counted."""
    assert main([str(K8S / "overlays" / "dev")]) == 0
    assert "1 sets, Kubernetes 1.30 to 1.37" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 1
    assert "does not render" in capsys.readouterr().out
