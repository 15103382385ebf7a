"""Server-side apply: who applies owns the fields that it names; others' fields change only by force."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.k8s.apiserver.fields import (
    Path,
    decoded,
    encoded,
    fields_of,
    is_granular,
    key_of,
    list_type,
    words,
)
from tests.k8s.apiserver.kinds import Kind
from tests.k8s.apiserver.problems import conflicts
from tests.k8s.apiserver.schemas import Schemas

Owner = tuple[str, str]
"""Manager and operation."""


class Applying(NamedTuple):
    """One application of a configuration."""

    manager: str
    force: bool
    now: str
    """RFC 3339, for the entry of the manager."""


def applied(
    schemas: Schemas, kind: Kind, live: Mapping[str, Any], config: Mapping[str, Any], how: Applying
) -> dict[str, Any]:
    """``live`` as it becomes.

    Raises:
        Refused: another manager owns a field whose value would change, and it is not forced.
    """
    owners = managers_of(live)
    mine = (how.manager, "Apply")
    wanted = fields_of(schemas, kind.schema, config)
    others = {owner: paths for owner, paths in owners.items() if owner != mine}
    clashing = [
        (o, p) for o, paths in others.items() for p in _clashes(schemas, kind, live, config, wanted & paths)
    ]
    if clashing and not how.force:
        raise conflicts([(owner[0], words(path)) for owner, path in sorted(clashing)])
    others = {owner: paths - {p for o, p in clashing if o == owner} for owner, paths in others.items()}
    merged = _merge(schemas, kind.schema, copy.deepcopy(dict(live)), config)
    kept = wanted.union(*others.values())
    for path in sorted(owners.get(mine, frozenset()) - kept, key=len):
        if not any(other[: len(path)] == path for other in kept):
            _remove(schemas, kind.schema, merged, path)
    return with_managers(merged, {**others, mine: wanted}, kind, live, how.now)


def managers_of(item: Mapping[str, Any]) -> dict[Owner, frozenset[Path]]:
    """Who owns which fields."""
    entries = item.get("metadata", {}).get("managedFields", ())
    return {(e["manager"], e["operation"]): decoded(e["fieldsV1"]) for e in entries}


def with_managers(
    item: dict[str, Any],
    owners: Mapping[Owner, frozenset[Path]],
    kind: Kind,
    before: Mapping[str, Any],
    now: str,
) -> dict[str, Any]:
    """The item with its ``managedFields``; an entry that did not change keeps its time."""
    known = {(e["manager"], e["operation"]): e for e in before.get("metadata", {}).get("managedFields", ())}
    entries = []
    for (manager, operation), paths in sorted(owners.items()):
        nested, old = encoded(paths), known.get((manager, operation))
        time = old["time"] if old and old["fieldsV1"] == nested else now
        entry = {"manager": manager, "operation": operation, "apiVersion": kind.api_version, "time": time}
        if paths:
            entries.append({**entry, "fieldsType": "FieldsV1", "fieldsV1": nested})
    return {**item, "metadata": {**item["metadata"], "managedFields": entries}}


def _clashes(schemas: Schemas, kind: Kind, live: Any, config: Any, shared: Iterable[Path]) -> list[Path]:
    return [
        path
        for path in shared
        if path[-1][0] == "f"
        and _at(schemas, kind.schema, live, path) != _at(schemas, kind.schema, config, path)
    ]


def _merge(schemas: Schemas, schema: Mapping[str, Any], live: Any, config: Any) -> Any:
    """``config`` laid over ``live``: maps and lists by their keys, sets as unions, the rest replaced."""
    schema = schemas.resolve(schema)
    if is_granular(schema, config) and is_granular(schema, live):
        laid = {k: _merge(schemas, schemas.child(schema, k), live.get(k), v) for k, v in config.items()}
        return {**live, **laid}
    if isinstance(config, list) and isinstance(live, list) and list_type(schema) == "map":
        old = {key_of(schemas, schema, item): item for item in live}
        new = {key_of(schemas, schema, item): item for item in config}
        laid_items = [_merge(schemas, schema["items"], old.get(key), item) for key, item in new.items()]
        return laid_items + [item for key, item in old.items() if key not in new]
    if isinstance(config, list) and isinstance(live, list) and list_type(schema) == "set":
        return config + [item for item in live if item not in config]
    return copy.deepcopy(config)


def _at(schemas: Schemas, schema: Mapping[str, Any], value: Any, path: Path) -> Any:
    for element in path:
        schema, value = _step(schemas, schema, value, element)
    return value


def _step(schemas: Schemas, schema: Mapping[str, Any], value: Any, element: str) -> tuple[Any, Any]:
    """One element further: (schema, value); absent is None."""
    schema, (sort, _, rest) = schemas.resolve(schema), element.partition(":")
    if value is None or sort == "v":
        found = json.loads(rest) if value and sort == "v" and json.loads(rest) in value else None
        return {}, found
    if sort == "f":
        return schemas.child(schema, rest), value.get(rest)
    found = next((item for item in value if key_of(schemas, schema, item) == element), None)
    return schema["items"], found


def _remove(schemas: Schemas, schema: Mapping[str, Any], item: Any, path: Path) -> None:
    """Take a path out, and the maps and lists that are empty without it."""
    inner_schema, inner = _step(schemas, schema, item, path[0])
    if inner is None:
        return
    if len(path) > 1:
        _remove(schemas, inner_schema, inner, path[1:])
        if inner != {} and inner != []:
            return
    if path[0][0] == "f":
        del item[path[0][2:]]
    else:
        item.remove(inner)
