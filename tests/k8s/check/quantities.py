"""Kubernetes' quantities: ``500m``, ``1Gi``."""

from __future__ import annotations

import re

_FORM = re.compile(r"(\d+(?:\.\d+)?)(|m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)")
_UNITS = {"": 1.0, "m": 1e-3} | {
    unit: base**power
    for base, units in ((1000.0, ("k", "M", "G", "T", "P")), (1024.0, ("Ki", "Mi", "Gi", "Ti", "Pi")))
    for power, unit in enumerate(units, 1)
}


def quantity(text: object) -> float:
    """Its value.

    Raises:
        ValueError: it is none.

    >>> quantity("500m"), quantity("1Gi"), quantity(2)
    (0.5, 1073741824.0, 2.0)
    """
    found = _FORM.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{text!r} is no quantity; legal are 500m, 2, 256Mi, 1Gi, …")
    return float(found[1]) * _UNITS[found[2]]
