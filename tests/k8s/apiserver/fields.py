"""The fields of an object as server-side apply sees them: paths, as ``managedFields`` writes them.

A path is a tuple of ``f:name`` (a field), ``k:{"name":"x"}`` (the item of a list with those keys) and
``v:"x"`` (a value of a set). What is atomic, a scalar or a list without keys, is one path as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.k8s.apiserver.schemas import Schemas

Path = tuple[str, ...]
UNMANAGED = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata", "f:name"),
        ("f:metadata", "f:namespace"),
        ("f:metadata", "f:uid"),
        ("f:metadata", "f:resourceVersion"),
        ("f:metadata", "f:generation"),
        ("f:metadata", "f:creationTimestamp"),
        ("f:metadata", "f:managedFields"),
    }
)


def fields_of(schemas: Schemas, schema: Mapping[str, Any], item: Mapping[str, Any]) -> frozenset[Path]:
    """Every path that ``item`` sets, without those that nobody manages."""
    return frozenset(_paths(schemas, schema, item, ())) - UNMANAGED


def list_type(schema: Mapping[str, Any]) -> str:
    """``map``, ``set`` or ``atomic``."""
    return str(schema.get("x-kubernetes-list-type", "atomic"))


def key_of(schemas: Schemas, schema: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    """What tells an item of a list with keys from the others; the schema's defaults stand for absent keys."""
    shape = schemas.resolve(schema["items"])
    keys = {
        name: item.get(name, shape["properties"].get(name, {}).get("default"))
        for name in schema["x-kubernetes-list-map-keys"]
    }
    return "k:" + json.dumps({k: v for k, v in keys.items() if v is not None}, separators=(",", ":"))


def is_granular(schema: Mapping[str, Any], value: object) -> bool:
    """Whether a map's fields are managed each by itself."""
    return isinstance(value, Mapping) and schema.get("x-kubernetes-map-type") != "atomic"


def encoded(paths: frozenset[Path]) -> dict[str, Any]:
    """As ``fieldsV1`` nests them; ``.`` is the item itself."""
    root: dict[str, Any] = {}
    for path in sorted(paths):
        here = root
        for element in path:
            here = here.setdefault(element, {})
        if path[-1][0] == "k":
            here["."] = {}
    return root


def decoded(nested: Mapping[str, Any], path: Path = ()) -> frozenset[Path]:
    """Back from ``fieldsV1``."""
    if not nested:
        return frozenset({path}) if path else frozenset()
    inner = (decoded(v, (*path, k)) if k != "." else frozenset({path}) for k, v in nested.items())
    return frozenset().union(*inner)


def words(path: Path) -> str:
    """As messages write it.

    >>> words(("f:spec", "f:containers", 'k:{"name":"app"}', "f:image"))
    '.spec.containers[name="app"].image'
    """
    return "".join(_word(element) for element in path)


def _word(element: str) -> str:
    sort, _, rest = element.partition(":")
    if sort == "f":
        return f".{rest}"
    if sort == "v":
        return f"[={rest}]"
    return "[" + ",".join(f"{k}={json.dumps(v)}" for k, v in json.loads(rest).items()) + "]"


def _paths(schemas: Schemas, schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[Path]:
    if is_granular(schema := schemas.resolve(schema), value) and value:
        for name, inner in value.items():
            yield from _paths(schemas, schemas.child(schema, name), inner, (*path, f"f:{name}"))
    elif isinstance(value, list) and list_type(schema) == "map":
        for item in value:
            here = (*path, key_of(schemas, schema, item))
            yield here
            yield from _paths(schemas, schema["items"], item, here)
    elif isinstance(value, list) and list_type(schema) == "set":
        yield from ((*path, "v:" + json.dumps(item)) for item in value)
    else:
        yield path
