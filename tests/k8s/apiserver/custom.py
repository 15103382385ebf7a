"""From the schema in a CustomResourceDefinition to one that refuses what it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METADATA = {"$ref": "urn:kubernetes#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
STRING = {"type": "string"}


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """With the fields that every object has; strict wherever the definition does not say otherwise."""
    strict = _strict(schema)
    every_object = {"apiVersion": STRING, "kind": STRING, "metadata": METADATA}
    return strict | {"properties": strict.get("properties", {}) | every_object}


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    done = {k: v for k, v in schema.items() if k not in ("nullable", "default")}
    if "properties" in schema:
        done["properties"] = {name: _strict(part) for name, part in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            done["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            done[key] = _strict(schema[key])
    if schema.get("x-kubernetes-int-or-string"):
        done["type"] = ["integer", "string"]
    if schema.get("nullable") and isinstance(schema.get("type"), str):
        done["type"] = [schema["type"], "null"]
    return done
