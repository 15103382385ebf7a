"""All that is said of one set: what does not fit a schema, and what breaks a rule."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence

from tests.k8s.check import schemas
from tests.k8s.check.objects import Object
from tests.k8s.check.rules import broken
from tests.k8s.check.scene import scene_of


def verdict(objects: Sequence[Object], releases: Sequence[str] = schemas.RELEASES) -> Iterator[str]:
    """One line a fault; a fault that every release has is told once. The rules are for what fits."""
    misfits: dict[str, None] = {}
    for item in objects:
        for release in releases:
            for fault in _misfits(json.dumps(item, sort_keys=True), release):
                misfits.setdefault(fault.replace(f"{release}: ", "", 1), None)
    yield from (f"schema: {fault}" for fault in misfits)
    if not misfits:
        yield from broken(scene_of(objects))


@functools.cache
def _misfits(item: str, release: str) -> tuple[str, ...]:
    """Most objects are in most sets: each is looked at once."""
    return tuple(schemas.faults([json.loads(item)], release))
