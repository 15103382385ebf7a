"""Raw mappings, of TOML and of the environment, as what they should be, or one line that says what is not."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from sidecar.contracts.legal import told

T = TypeVar("T")


def checked(
    raw: dict[str, Any], wanted: type[T], where: str, error: type[Exception], *, strict: bool = True
) -> T:
    """``raw`` as a ``wanted``; what is unknown or illegal becomes one line that names field and legal values.

    Raises:
        error: with that line as its message.
    """
    try:
        return msgspec.convert(raw, wanted, strict=strict)
    except msgspec.ValidationError as problem:
        raise error(f"{where}: {told(str(problem), wanted)}") from problem
