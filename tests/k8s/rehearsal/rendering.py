"""An overlay as a user writes it, on that for development, rendered by the real kubectl."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.k8s.kubectl import K8S

APP = "starter"
PARTITIONS = 4
APPLICATION = f"""
name = "{APP}"
partitions = {PARTITIONS}
[reward]
horizon_s = 2
early_window_s = 20
[decision_service]
deadline_ms = 2000
score_timeout_ms = 1500
"""
OVERLAY = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: sidearm
resources: [{below}]
configMapGenerator:
  - name: application
    behavior: replace
    files: [app.toml, arms.json]
"""


def rendered(folder: Path, prices: list[float]) -> list[dict[str, Any]]:
    """The platform with our application, whose arms have these prices."""
    folder.mkdir(exist_ok=True)
    arms = [{"id": f"arm-{n}", "features": {"price": price}} for n, price in enumerate(prices)]
    (folder / "arms.json").write_text(json.dumps(arms))
    (folder / "app.toml").write_text(APPLICATION)
    below = os.path.relpath((K8S / "overlays" / "dev").resolve(), folder.resolve())
    (folder / "kustomization.yaml").write_text(OVERLAY.format(below=below))
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def secret(folder: Path) -> dict[str, Any]:
    """``kubectl create secret generic sidearm --from-file=folder``"""
    content = {file.name: file.read_text() for file in folder.iterdir()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sidearm"}, "stringData": content}
