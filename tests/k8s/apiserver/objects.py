"""The objects in memory: every change has a number, and whoever watches sees it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.k8s.apiserver.kinds import Kind

Item = dict[str, Any]
Address = tuple[str, str, str]
"""Resource (``deployments.apps``), namespace, name."""


class Event(NamedTuple):
    """One change."""

    revision: int
    type: str
    """``ADDED``, ``MODIFIED`` or ``DELETED``"""
    address: Address
    item: Item


class Objects:
    """By address. The lock is the caller's, who looks and changes in one step."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._items: dict[Address, Item] = {}
        self._events: list[Event] = []

    @property
    def revision(self) -> int:
        """Of the last change."""
        return len(self._events)

    def get(self, address: Address) -> Item | None:
        """The object, if it is there."""
        return self._items.get(address)

    def list(self, kind: Kind, namespace: str) -> list[Item]:
        """Of one kind, by namespace and name; of all namespaces where none is given."""
        return [
            item
            for (resource, where, _), item in sorted(self._items.items())
            if resource == kind.resource and namespace in ("", where)
        ]

    def inside(self, namespace: str) -> list[Address]:
        """Everything in a namespace."""
        return [address for address in self._items if address[1] == namespace]

    def put(self, address: Address, item: Item, now: str) -> Item:
        """Create or replace; the object as it is now, numbered. What is equal is left as it is."""
        old = self._items.get(address)
        if old is not None and _without_number(old) == _without_number(item):
            return old
        item = _numbered(item, old, self.revision + 1, now)
        self._items[address] = item
        self._note("MODIFIED" if old else "ADDED", address, item)
        return item

    def remove(self, address: Address) -> Item:
        """It is gone."""
        item = self._items.pop(address)
        self._note("DELETED", address, item)
        return item

    def events(self, after: int, wait_s: float) -> list[Event]:
        """What happened since, at once or as soon as something does."""
        with self.changed:
            self.changed.wait_for(lambda: self.revision > after, wait_s)
            return self._events[after:]

    def _note(self, change: str, address: Address, item: Item) -> None:
        with self.changed:
            self._events.append(Event(self.revision + 1, change, address, item))
            self.changed.notify_all()


def _numbered(item: Item, old: Item | None, revision: int, now: str) -> Item:
    meta = {
        "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, str(revision))),
        "creationTimestamp": now,
        "generation": 1,
    }
    if old:
        meta |= {key: old["metadata"][key] for key in meta}
        meta["generation"] += item.get("spec") != old.get("spec")
    return {**item, "metadata": {**item["metadata"], **meta, "resourceVersion": str(revision)}}


def _without_number(item: Item) -> Item:
    own = ("resourceVersion", "generation", "uid", "creationTimestamp")
    return {**item, "metadata": {k: v for k, v in item["metadata"].items() if k not in own}}


def fields_selected(selector: str, item: Item) -> bool:
    """Whether a field selector such as ``metadata.name=store`` names it."""
    return all(_at(item, name) == value for name, value in _terms(selector))


def labels_selected(selector: str, item: Item) -> bool:
    """Whether a label selector of equalities, ``a=b,c=d``, names it."""
    labels = item["metadata"].get("labels", {})
    return all(labels.get(name) == value for name, value in _terms(selector))


def _terms(selector: str) -> Iterator[tuple[str, str]]:
    for term in filter(None, selector.split(",")):
        name, _, value = term.replace("==", "=").partition("=")
        yield name, value


def _at(item: Any, path: str) -> Any:
    for name in path.split("."):
        item = item.get(name, {})
    return item
