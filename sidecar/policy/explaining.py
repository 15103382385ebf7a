"""What a score is made of: the terms of its sum, each under the names of the features that it comes from.

The terms are those that ``model.py`` adds up, in the same places of the same weights; here they keep their
names. Their sum is the score, but for the rounding of the score to float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sidecar.contracts.application import Arm, Features, FeatureValue
from sidecar.contracts.explaining import Explained, ExplainRequest, ExplainResponse, Part
from sidecar.contracts.weights import Weights
from sidecar.policy.adapters import RowInput
from sidecar.policy.arm_table import ARM_ID_FEATURE, compile_arms
from sidecar.policy.features import compile_context
from sidecar.policy.model import scores_of, terms_of

Names = Sequence[str]


def explain(request: ExplainRequest, weights: Weights | None) -> ExplainResponse:
    """The parts of the scores of a request's arms. Without weights every score is zero, of no parts.

    Raises:
        BadEvent: a number outside its range.
    """
    if weights is None:
        return ExplainResponse(0, tuple([Explained(0.0, ()) for _ in request.arms]))
    told = tuple([explained(request.context, arm, weights, request.most) for arm in request.arms])
    return ExplainResponse(weights.header.version, told)


def explained(context: Features, arm: Arm, weights: Weights, most: int) -> Explained:
    """One arm's score, taken apart.

    Args:
        context: features as scored.
        arm: with all its features.
        weights: that score.
        most: how many parts are told by name; those that are zero never are.
    """
    row = RowInput(compile_context(context), compile_arms([arm]))
    places, values = (side[0] for side in terms_of(row, weights.header.bits, weights.header.interactions))
    used = weights.values.take(places).astype(np.float64)
    added = used * values
    order = np.argsort(-np.abs(added), kind="stable")
    order = order[added[order] != 0.0]
    arm_names = [f"arm.{ARM_ID_FEATURE}={arm.id}", *_names("arm", arm.features)]
    name_of = _Namer(_names("context", context), arm_names, weights)
    parts = [Part(name_of(int(n)), float(values[n]), float(used[n]), float(added[n])) for n in order[:most]]
    others = order[most:]
    return Explained(float(scores_of(row, weights)[0]), tuple(parts), float(added[others].sum()), len(others))


def _names(of: str, features: Features) -> list[str]:
    """As people read them, in the order of the terms."""
    return [f"{of}.{name}{_category(features[name])}" for name in sorted(features)]


def _category(value: FeatureValue) -> str:
    if isinstance(value, bool):
        return "=true" if value else "=false"
    return f"={value}" if isinstance(value, str) else ""


class _Namer:
    """Place of a term among an arm's terms to the features that it comes from; names only what is asked."""

    def __init__(self, context: Names, arm: Names, weights: Weights) -> None:
        crossed = weights.header.interactions
        self._context, self._arm = context, arm
        sizes = {
            "constant": 1,
            "c": len(context),
            "cc": _n_pairs(len(context)) if "cc" in crossed else 0,
            "a": len(arm),
            "aa": _n_pairs(len(arm)) if "aa" in crossed else 0,
            "ca": len(context) * len(arm) if "ca" in crossed else 0,
        }
        self._ends = [0, *np.cumsum(list(sizes.values())).tolist()]
        self._kinds = list(sizes)

    def __call__(self, term: int) -> tuple[str, ...]:
        spans = zip(self._kinds, pairwise(self._ends), strict=True)
        kind, start = next((kind, low) for kind, (low, high) in spans if low <= term < high)
        place = term - start
        match kind:
            case "constant":
                return ()
            case "c" | "a":
                return ((self._context if kind == "c" else self._arm)[place],)
            case "ca":
                first, second = divmod(place, len(self._arm))
                return self._context[first], self._arm[second]
            case _:
                names = self._context if kind == "cc" else self._arm
                rows, columns = _pairs(len(names))
                return names[rows[place]], names[columns[place]]


def _n_pairs(width: int) -> int:
    return width * (width + 1) // 2


@lru_cache(maxsize=8)
def _pairs(width: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    first, second = np.triu_indices(width)
    return first, second
