"""What rows can be grouped by: a few columns, and any context feature."""

from __future__ import annotations

from offline_eval.engine import literal
from offline_eval.errors import BadCandidate

COLUMNS = ("slot", "source", "policy", "model_version", "catalogue", "segment", "day")
_CONTEXT = "context."
_SEPARATOR = "chr(31)"  # no feature value holds a unit separator


def key_sql(names: tuple[str, ...]) -> str:
    """An SQL expression: the row's key as text, empty for no names.

    Args:
        names: each one of ``COLUMNS``, ``context.<feature>``, or ``context``: the whole of it, as JSON.

    Raises:
        BadCandidate: another name.

    >>> key_sql(("context.device",))
    "concat_ws(chr(31), coalesce(json_extract_string(context, '/device'), ''))"
    """
    if not names:
        return "''"
    parts = ", ".join(f"coalesce({_part(name)}, '')" for name in names)
    return f"concat_ws({_SEPARATOR}, {parts})"


def _part(name: str) -> str:
    if name == "context":
        return name
    if name == "day":
        return "CAST(CAST(decided_at AS DATE) AS VARCHAR)"
    if name in COLUMNS:
        return f"CAST({name} AS VARCHAR)"
    if name.startswith(_CONTEXT) and len(name) > len(_CONTEXT):
        pointer = "/" + name.removeprefix(_CONTEXT).replace("~", "~0").replace("/", "~1")
        return f"json_extract_string(context, {literal(pointer)})"
    raise BadCandidate(f"{name!r} is no key: legal are {', '.join(COLUMNS)} and context.<feature>")
