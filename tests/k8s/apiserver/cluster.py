"""What the API does with objects: create, apply, delete, with validation before and cascades after."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.k8s.apiserver.apply import Applying, applied, with_managers
from tests.k8s.apiserver.fields import fields_of
from tests.k8s.apiserver.kinds import Kind, built_in, custom
from tests.k8s.apiserver.objects import Address, Item, Objects
from tests.k8s.apiserver.problems import (
    Refused,
    exists,
    invalid,
    no_path,
    not_found,
    terminating,
    unknown_fields,
)
from tests.k8s.apiserver.schemas import Schemas

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
FIXED = {
    "Deployment": ("selector",),
    "StatefulSet": ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy"),
    "Job": ("selector", "template"),
    "PersistentVolumeClaim": ("accessModes", "storageClassName", "volumeName"),
}
"""Fields of ``spec`` that an object keeps for life."""


class Target(NamedTuple):
    """What a request names."""

    kind: Kind
    namespace: str
    name: str

    @property
    def address(self) -> Address:
        return self.kind.resource, self.namespace, self.name


class Writing(NamedTuple):
    """The parameters of a request that changes something."""

    manager: str = "unknown"
    validation: str = "Strict"
    dry_run: bool = False
    force: bool = False


class Cluster:
    """The objects, the kinds there are, and the rules between them."""

    def __init__(self, release: str, now: Callable[[], str]) -> None:
        self.schemas = Schemas(release)
        self.release = release
        self.objects = Objects()
        self._now = now
        self._built_in = list(built_in(self.schemas.definitions))
        self._namespace = next(k for k in self._built_in if k.kind == "Namespace")
        for name in ("default", "kube-system"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self.objects.put(("namespaces", "", name), namespace, now())

    def kinds(self) -> list[Kind]:
        """Those of the release, and custom ones whose definitions were created."""
        definitions = next(k for k in self._built_in if k.kind == "CustomResourceDefinition")
        found = self.objects.list(definitions, "")
        return self._built_in + [kind for one in found for kind in custom(one)]

    def get(self, target: Target) -> Item:
        """The object.

        Raises:
            Refused: it is not there.
        """
        if (item := self.objects.get(target.address)) is None:
            raise not_found(target.kind, target.name)
        return item

    def create(self, target: Target, item: Item, how: Writing) -> Item:
        """A new object.

        Raises:
            Refused: it is there, has no place, or is not valid.
        """
        target = target._replace(name=item["metadata"]["name"])
        self._check(target, item, how)
        if self.objects.get(target.address):
            raise exists(target.kind, target.name)
        owned = fields_of(self.schemas, target.kind.schema, item)
        whole = with_managers(item, {(how.manager, "Update"): owned}, target.kind, {}, self._now())
        return self._write(target, whole, how)

    def apply(self, target: Target, config: Item, how: Writing) -> Item:
        """What the configuration makes of the object, which may be new.

        Raises:
            Refused: conflicting, without a place, or not valid.
        """
        self._check(target, config, how)
        live = self.objects.get(target.address) or {}
        applying = Applying(how.manager, how.force, self._now())
        return self._write(target, applied(self.schemas, target.kind, live, config, applying), how)

    def delete(self, target: Target, *, dry_run: bool) -> Item:
        """Gone; with finalizers only marked, as is a namespace, which :meth:`drain` empties first."""
        item = self.get(target)
        if dry_run:
            return item
        if item["metadata"].get("finalizers") or target.kind.kind == "Namespace":
            marked = {**item, "metadata": {**item["metadata"], "deletionTimestamp": self._now()}}
            return self.objects.put(target.address, marked, self._now())
        return self.objects.remove(target.address)

    def drain(self) -> None:
        """What the namespace controller does in its own time: empty and remove those that were deleted."""
        for namespace in self.objects.list(self._namespace, ""):
            name = namespace["metadata"]["name"]
            if "deletionTimestamp" in namespace["metadata"]:
                for address in [*self.objects.inside(name), ("namespaces", "", name)]:
                    self.objects.remove(address)

    def _write(self, target: Target, whole: Item, how: Writing) -> Item:
        if target.kind.namespaced:
            whole = {**whole, "metadata": {**whole["metadata"], "namespace": target.namespace}}
        live = self.objects.get(target.address)
        _check_fixed(target, live, whole)
        if missing := self.schemas.faults(target.kind.schema, whole).missing:
            raise invalid(target.kind, target.name, missing)
        if how.dry_run:
            return {**whole, "metadata": {**(live or {}).get("metadata", {}), **whole["metadata"]}}
        if (whole["metadata"].get("deletionTimestamp")) and not whole["metadata"].get("finalizers"):
            return self.objects.remove(target.address)
        return self.objects.put(target.address, whole, self._now())

    def _check(self, target: Target, item: Item, how: Writing) -> None:
        if target.kind.namespaced:
            namespace = self.get(Target(self._namespace, "", target.namespace))
            if "deletionTimestamp" in namespace["metadata"]:
                raise terminating(target.kind, target.name, target.namespace)
        if (item.get("apiVersion"), item.get("kind")) != (target.kind.api_version, target.kind.kind):
            raise Refused(400, "BadRequest", f"the body is a {item.get('kind')} of {item.get('apiVersion')}")
        faults = self.schemas.faults(target.kind.schema, item)
        if faults.unknown and how.validation == "Strict":
            raise unknown_fields(target.kind, faults.unknown)
        if not NAME.fullmatch(target.name):
            faults.invalid.append(f"metadata.name: {target.name!r} is no lower-case DNS name")
        if faults.invalid:
            raise invalid(target.kind, target.name, faults.invalid)


def find_kind(kinds: list[Kind], api_version: str, plural: str) -> Kind:
    """The kind at a path.

    Raises:
        Refused: nothing is served there.
    """
    for kind in kinds:
        if (kind.api_version, kind.plural) == (api_version, plural):
            return kind
    raise no_path(f"{api_version}/{plural}")


def _check_fixed(target: Target, live: Mapping[str, Any] | None, whole: Mapping[str, Any]) -> None:
    if live is None:
        return
    names = FIXED.get(target.kind.kind, ())
    changed = [f"spec.{n}: field is immutable" for n in names if live["spec"].get(n) != whole["spec"].get(n)]
    if live.get("immutable") and any(live.get(part) != whole.get(part) for part in ("data", "binaryData")):
        changed.append("data: field is immutable when `immutable` is set")
    if changed:
        raise invalid(target.kind, target.name, changed)
