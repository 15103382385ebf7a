"""Definitions of the custom resources that components need, made of the schemas that the rules know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.k8s.check.rendering import ROOT

FOLDER = ROOT / "tests" / "k8s" / "check" / "custom_resources"
KINDS = {
    "httproute": "HTTPRoute",
    "podmonitor": "PodMonitor",
    "prometheusrule": "PrometheusRule",
    "scaledobject": "ScaledObject",
}


def definitions() -> Iterator[dict[str, Any]]:
    """One a file: what an operator installs before somebody applies its objects."""
    for path in sorted(FOLDER.glob("*.json")):
        name, _, group_version = path.name.removesuffix(".json").partition(".")
        group, _, version = group_version.rpartition(".")
        yield _definition(KINDS[name], group, version, json.loads(path.read_text())["properties"]["spec"])


def _definition(kind: str, group: str, version: str, spec: Any) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [served],
        },
    }
