"""Volumes as folders, each with the life that its kind has."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.k8s.rehearsal.machine import resolved

Spec = Mapping[str, Any]
Objects = Mapping[tuple[str, str], Spec]
"""By kind and name."""


class Volumes:
    """The folders of all pods and claims.

    Args:
        folder: of the whole rehearsal.
        objects: config maps and secrets are read from here.
        hosts: names of services, for the addresses that lie in secrets.
    """

    def __init__(self, folder: Path, objects: Objects, hosts: Mapping[str, str]) -> None:
        self._folder, self._objects, self._hosts = folder, objects, hosts

    def of_pod(self, pod: str, spec: Spec, templates: list[Spec]) -> dict[str, Path]:
        """Every volume of a pod by name, made if need be; what is in config maps and secrets is in them."""
        found = {volume["name"]: self._make(pod, volume) for volume in spec.get("volumes", ())}
        for template in templates:
            name = template["metadata"]["name"]
            found[name] = self._made(f"claims/{name}-{pod}")
        return found

    def value(self, source: Spec) -> str:
        """What an environment variable takes from elsewhere."""
        (kind, reference), *_ = source.items()
        objects = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}
        return self._content(objects[kind], reference["name"])[reference["key"]].decode()

    def _make(self, pod: str, volume: Spec) -> Path:
        own = self._made(f"pods/{pod}/volumes/{volume['name']}")
        match volume:
            case {"emptyDir": _}:
                return own
            case {"persistentVolumeClaim": {"claimName": claim}}:
                assert ("PersistentVolumeClaim", claim) in self._objects, f"no claim {claim}"
                return self._made(f"claims/{claim}")
            case {"configMap": {"name": name}}:
                return _filled(own, self._content("ConfigMap", name), volume["configMap"])
            case {"secret": {"secretName": name}}:
                return _filled(own, self._content("Secret", name), volume["secret"])
        raise AssertionError(f"the rehearsal knows no such volume: {volume}")

    def _content(self, kind: str, name: str) -> dict[str, bytes]:
        held = self._objects[kind, name]
        plain = {key: text.encode() for key, text in {**held.get("stringData", {})}.items()}
        if kind == "ConfigMap":
            plain |= {key: text.encode() for key, text in held.get("data", {}).items()}
        else:
            plain |= {key: base64.b64decode(text) for key, text in held.get("data", {}).items()}
        return {key: self._with_addresses(value) for key, value in plain.items()}

    def _with_addresses(self, value: bytes) -> bytes:
        return resolved(value.decode(), self._hosts).encode() if value.startswith(b"redis") else value

    def _made(self, path: str) -> Path:
        (self._folder / path).mkdir(parents=True, exist_ok=True)
        return self._folder / path


def mount(root: Path, volumes: Mapping[str, Path], mounts: list[Spec]) -> None:
    """Lay the volumes into the container's root: links, since a mount needs a privilege."""
    for one in sorted(mounts, key=lambda m: len(m["mountPath"])):
        place = Path(f"{root}{one['mountPath']}")
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(volumes[one["name"]] / one.get("subPath", ""))


def written_outside(root: Path) -> list[Path]:
    """What a container wrote into its root beside its volumes: in the cluster that would have failed."""
    return [path for path in root.rglob("*") if not path.is_symlink() and not path.is_dir()]


def _filled(folder: Path, content: Mapping[str, bytes], how: Spec) -> Path:
    items = {item["key"]: item["path"] for item in how.get("items", ())} or {key: key for key in content}
    for key, path in items.items():
        (folder / path).write_bytes(content[key])
    return folder
