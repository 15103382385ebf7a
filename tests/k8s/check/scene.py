"""What the rules look at: a set of objects, and the application that its ConfigMap holds."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sidecar.contracts.application import Application, load_application
from sidecar.contracts.catalogue import load_catalogue
from sidecar.contracts.errors import SidearmError
from tests.k8s.check.objects import Container, Object, Pod, containers, of_kind, pods


class Scene(NamedTuple):
    """One rendered set."""

    objects: Sequence[Object]
    pods: Sequence[Pod]
    containers: Sequence[Container]
    application: Application | None
    """None when it does not load."""
    complaint: str
    """Why it does not; empty when it does."""


def scene_of(objects: Sequence[Object]) -> Scene:
    """The objects, taken apart once for all rules."""
    application, complaint = _application(objects)
    return Scene(objects, pods(objects), containers(objects), application, complaint)


def _application(objects: Sequence[Object]) -> tuple[Application | None, str]:
    maps = [m for m in of_kind(objects, "ConfigMap") if m["metadata"]["name"].startswith("application")]
    if len(maps) != 1:
        return None, f"{len(maps)} ConfigMaps hold an application; one is needed"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in maps[0].get("data", {}).items():
            (folder / file).write_text(text)
        try:
            application = load_application(folder)
            load_catalogue(folder, application)
        except (SidearmError, OSError) as error:
            return None, str(error).replace(name, "application")
    return application, ""
