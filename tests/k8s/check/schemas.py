"""Objects against the schemas of the Kubernetes releases that are supported, and of the custom resources.

The built-in schemas are those of the package ``kubernetes-validate``, in its strict form: an unknown field is
an error. A built-in kind or version that a release does not have is one too. Of custom resources the schemas
beside this file have what the manifests use, and refuse the rest.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.k8s.check.objects import Object, named

RELEASES = tuple(f"1.{minor}" for minor in range(30, 38))
_BUILT_IN = Path(kubernetes_validate.__file__).with_name("kubernetes-json-schema")
_CUSTOM = Path(__file__).with_name("custom_resources")
_BUILT_IN_GROUPS = re.compile(r"^([a-z]+/)?v\d+((alpha|beta)\d+)?$|^[a-z.]+\.k8s\.io/")
_GATEWAY = "gateway.networking.k8s.io/"


def faults(objects: Sequence[Object], release: str) -> Iterator[str]:
    """What does not fit, one line each: every fault of every object, not the first alone."""
    for item in objects:
        validator = _validator(item.get("apiVersion", ""), item.get("kind", ""), release)
        if validator is None:
            yield f"{named(item)}: {release} has no {item.get('apiVersion')}/{item.get('kind')}"
            continue
        for error in validator.iter_errors(item):
            where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
            yield f"{named(item)}: {release}: {where or 'object'}: {error.message}"


def is_built_in(api_version: str) -> bool:
    """Whether Kubernetes itself brings it."""
    return bool(_BUILT_IN_GROUPS.match(api_version)) and not api_version.startswith(_GATEWAY)


@functools.cache
def _validator(api_version: str, kind: str, release: str) -> Draft202012Validator | None:
    if not is_built_in(api_version):
        return _of_custom(api_version, kind)
    group, _, version = api_version.rpartition("/")
    name = f"{group.split('.')[0]}-{version}" if group else version
    path = _strict(release) / f"{kind.lower()}-{name}.json"
    if not path.exists():
        return None
    schema = _read(path)
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _registry(release))


def _of_custom(api_version: str, kind: str) -> Draft202012Validator | None:
    group, _, version = api_version.partition("/")
    path = _CUSTOM / f"{kind.lower()}.{group}.{version}.json"
    return Draft202012Validator(_read(path)) if path.exists() else None


@functools.cache
def _registry(release: str) -> Registry:
    return Resource.from_contents(_read(_strict(release) / "_definitions.json")) @ Registry()


def _strict(release: str) -> Path:
    return _BUILT_IN / f"v{release}.0-local-strict"


def _read(path: Path) -> Any:
    return json.loads(path.read_text())
