"""What is served: the lists that kubectl reads first, plain or aggregated, and OpenAPI v3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.k8s.apiserver.kinds import Kind

VERBS = ["create", "delete", "get", "list", "patch", "watch"]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
OPENAPI_V2 = b"\n\x032.0"
"""``/openapi/v2`` as clients decode it, a protocol buffer: version 2.0 that describes nothing."""
PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string"}}
    for name in ("dryRun", "fieldManager", "fieldValidation", "force")
]
Json = dict[str, Any]


def groups(kinds: Sequence[Kind]) -> Mapping[str, Sequence[str]]:
    """The named groups with their versions, in order."""
    found: dict[str, dict[str, None]] = {}
    for kind in kinds:
        if kind.group:
            found.setdefault(kind.group, {})[kind.version] = None
    return {group: list(versions) for group, versions in found.items()}


def core_versions() -> Json:
    """``/api``"""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list(kinds: Sequence[Kind]) -> Json:
    """``/apis``"""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(group, versions) for group, versions in groups(kinds).items()],
    }


def resource_list(kinds: Sequence[Kind], api_version: str) -> Json:
    """``/api/v1``, ``/apis/apps/v1``"""
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": [
            {
                "name": k.plural,
                "singularName": k.kind.lower(),
                "namespaced": k.namespaced,
                "kind": k.kind,
                "verbs": VERBS,
                "shortNames": [k.short] if k.short else [],
            }
            for k in kinds
            if k.api_version == api_version
        ],
    }


def aggregated(kinds: Sequence[Kind], *, core: bool) -> Json:
    """``/api`` or ``/apis`` in one answer for all groups, as clients since 1.26 ask for it."""
    named = {"": ["v1"]} if core else groups(kinds)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group, "creationTimestamp": None},
                "versions": [_aggregated_version(kinds, group, version) for version in versions],
            }
            for group, versions in named.items()
        ],
    }


def openapi_index(kinds: Sequence[Kind]) -> Json:
    """``/openapi/v3``: where the description of each version is."""
    paths = {_root(k).lstrip("/"): {"serverRelativeURL": f"/openapi/v3{_root(k)}"} for k in kinds}
    return {"paths": paths}


def openapi(kinds: Sequence[Kind], api_version: str) -> Json:
    """``/openapi/v3/apis/apps/v1``: which parameters a PATCH of each kind takes: what kubectl reads."""
    mine = [k for k in kinds if k.api_version == api_version]
    return {
        "openapi": "3.0.0",
        "info": {"title": "stand-in", "version": "1"},
        "paths": {path_of(k): {"patch": _patch(k)} for k in mine},
    }


def path_of(kind: Kind) -> str:
    """The path of one object of a kind."""
    return f"{_root(kind)}/{'namespaces/{namespace}/' if kind.namespaced else ''}{kind.plural}/{{name}}"


def _root(kind: Kind) -> str:
    return f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"


def _patch(kind: Kind) -> Json:
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return {
        "parameters": PARAMETERS,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": gvk,
    }


def _group(group: str, versions: Sequence[str]) -> Json:
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def _aggregated_version(kinds: Sequence[Kind], group: str, version: str) -> Json:
    resources = [
        {
            "resource": k.plural,
            "responseKind": {"group": k.group, "version": k.version, "kind": k.kind},
            "scope": "Namespaced" if k.namespaced else "Cluster",
            "singularResource": k.kind.lower(),
            "verbs": VERBS,
            "shortNames": [k.short] if k.short else [],
        }
        for k in kinds
        if (k.group, k.version) == (group, version)
    ]
    return {"version": version, "resources": resources, "freshness": "Current"}
