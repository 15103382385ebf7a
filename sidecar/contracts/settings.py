"""Settings of a process: its section of ``app.toml``, overridden by the environment, checked at boot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from sidecar.contracts.checking import checked
from sidecar.contracts.errors import BadSettings

T = TypeVar("T", bound=msgspec.Struct)


def load_settings(wanted: type[T], section: str, values: dict[str, Any], environ: Mapping[str, str]) -> T:
    """The frozen settings structure ``wanted`` of one process.

    Args:
        wanted: a frozen ``msgspec.Struct`` with ``forbid_unknown_fields``.
        section: the section's name in ``app.toml``, such as ``learner``.
        values: that section.
        environ: ``SIDEARM_<SECTION>_<FIELD>`` overrides a field, text being converted to its type.

    Raises:
        BadSettings: an unknown field, or a value outside its range, named with where it came from.
    """
    prefix = f"SIDEARM_{section.upper()}_"
    fields = {field.name for field in msgspec.structs.fields(wanted)}
    overrides = {
        name[len(prefix) :].lower(): text for name, text in environ.items() if name.startswith(prefix)
    }
    if unknown := sorted(set(overrides) - fields):
        names = ", ".join(prefix + name.upper() for name in unknown)
        raise BadSettings(f"{names}: no such setting; known here: {', '.join(sorted(fields))}")
    checked(values, wanted, f"[{section}] in app.toml", BadSettings)
    return checked({**values, **overrides}, wanted, f"[{section}] or {prefix}*", BadSettings, strict=False)
