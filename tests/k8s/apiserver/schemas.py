"""Strict validation against the schemas that ``kubernetes_validate`` brings: every fault, not the first."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import kubernetes_validate
import referencing
from referencing.jsonschema import DRAFT202012

FOLDER = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
ROOT = "urn:kubernetes"
"""Where references find the definitions of the release."""


@functools.cache
def definitions(release: str) -> Mapping[str, Mapping[str, Any]]:
    """Every type of a Kubernetes release such as ``1.33``, by its full name."""
    text = (FOLDER / f"v{release}.0-local-strict" / "_definitions.json").read_text()
    found: Mapping[str, Mapping[str, Any]] = json.loads(text)["$defs"]
    return found


class Faults(NamedTuple):
    """What is wrong with an object, in the words of the API server."""

    unknown: list[str]
    """``unknown field "spec.replicaz"``"""
    invalid: list[str]
    """``spec.replicas: 'two' is not of type 'integer'``"""
    missing: list[str]
    """``spec: 'selector' is a required property``"""


class Schemas:
    """The types of one release, and those of custom resources, which refer to them."""

    def __init__(self, release: str) -> None:
        self.definitions = definitions(release)
        whole = DRAFT202012.create_resource({"$id": ROOT, "$defs": self.definitions})
        self._registry = referencing.Registry().with_resource(ROOT, whole).crawl()

    def resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow a reference."""
        name = schema.get("$ref", "").rpartition("/")[2]
        return self.resolve(self.definitions[name]) if name else schema

    def child(self, schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """The schema of a field, or of the values of a map; empty where nothing is said."""
        whole = self.resolve(schema)
        found = whole.get("properties", {}).get(key, whole.get("additionalProperties"))
        return self.resolve(found) if isinstance(found, Mapping) else {}

    def faults(self, schema: Mapping[str, Any], item: Mapping[str, Any]) -> Faults:
        """What the schema does not allow."""
        validator = jsonschema.Draft202012Validator(schema, registry=self._registry)
        found = Faults([], [], [])
        for error in validator.iter_errors(item):
            if error.validator == "additionalProperties":
                found.unknown.extend(_unknown(error))
            else:
                told = found.missing if error.validator == "required" else found.invalid
                told.append(f"{dotted(error.absolute_path) or '<root>'}: {error.message}")
        return found


def dotted(path: Any) -> str:
    """As messages write it.

    >>> dotted(["spec", "containers", 0, "image"])
    'spec.containers[0].image'
    """
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


def _unknown(error: jsonschema.ValidationError) -> Iterator[str]:
    known = error.schema.get("properties", {})
    for key in error.instance:
        if key not in known:
            yield f'unknown field "{dotted([*error.absolute_path, key])}"'
