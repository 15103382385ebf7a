"""The kinds of objects that are served: those of a release, and custom ones by their definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.k8s.apiserver.custom import strict_schema

BUILT_IN = {
    "v1": "ConfigMap Endpoints Event LimitRange Namespace PersistentVolume PersistentVolumeClaim Pod "
    "ResourceQuota Secret Service ServiceAccount",
    "apps/v1": "DaemonSet Deployment ReplicaSet StatefulSet",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "batch/v1": "CronJob Job",
    "coordination.k8s.io/v1": "Lease",
    "networking.k8s.io/v1": "Ingress IngressClass NetworkPolicy",
    "policy/v1": "PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding Role RoleBinding",
    "scheduling.k8s.io/v1": "PriorityClass",
    "storage.k8s.io/v1": "StorageClass",
    "apiextensions.k8s.io/v1": "CustomResourceDefinition",
}
SHORT = {
    "ConfigMap": "cm",
    "CustomResourceDefinition": "crd",
    "Deployment": "deploy",
    "HorizontalPodAutoscaler": "hpa",
    "Namespace": "ns",
    "NetworkPolicy": "netpol",
    "PersistentVolumeClaim": "pvc",
    "Pod": "po",
    "PodDisruptionBudget": "pdb",
    "Service": "svc",
    "ServiceAccount": "sa",
    "StatefulSet": "sts",
}
OUTSIDE_NAMESPACES = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "IngressClass",
        "Namespace",
        "PersistentVolume",
        "PriorityClass",
        "StorageClass",
    }
)


class Kind(NamedTuple):
    """One kind in one version of its group."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    schema: Mapping[str, Any]
    short: str = ""

    @property
    def api_version(self) -> str:
        """As objects write it: ``v1``, ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As messages write it: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def built_in(definitions: Mapping[str, Mapping[str, Any]]) -> Iterator[Kind]:
    """Those of :data:`BUILT_IN` that the release has."""
    named = {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, schema in definitions.items()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
    }
    for api_version, kinds in BUILT_IN.items():
        group, _, version = api_version.rpartition("/")
        for kind in kinds.split():
            schema = {"$ref": f"urn:kubernetes#/$defs/{named[group, version, kind]}"}
            namespaced, short = kind not in OUTSIDE_NAMESPACES, SHORT.get(kind, "")
            yield Kind(group, version, kind, plural_of(kind), namespaced, schema, short)


def custom(definition: Mapping[str, Any]) -> Iterator[Kind]:
    """The kinds of a CustomResourceDefinition: one a served version."""
    spec = definition["spec"]
    for version in spec["versions"]:
        if version["served"]:
            schema = strict_schema(version["schema"]["openAPIV3Schema"])
            names, namespaced = spec["names"], spec["scope"] == "Namespaced"
            yield Kind(spec["group"], version["name"], names["kind"], names["plural"], namespaced, schema)


def plural_of(kind: str) -> str:
    """As the API spells it.

    >>> [plural_of(kind) for kind in ("Pod", "Ingress", "NetworkPolicy", "Endpoints")]
    ['pods', 'ingresses', 'networkpolicies', 'endpoints']
    """
    word = kind.lower()
    if word.endswith("y"):
        return word[:-1] + "ies"
    if word.endswith("ss"):
        return word + "es"
    return word if word.endswith("s") else word + "s"
