"""Why a row is left out of an estimate. Every such row has exactly one reason, and every reason a count.

The rules are SQL conditions, tried in order. In DuckDB, NaN sorts above every number: ``NaN > 0`` is true and
``NaN <= 1`` is false, so that every range here is closed from above. ``isfinite`` looks at every value, while
comparisons and ``isnan`` may be answered by the statistics of a Parquet file, which leave NaN out.
"""

from __future__ import annotations

from typing import NamedTuple

PROPENSITY_FLOOR = 1e-6
"""A propensity below it is a rounding accident, not a probability: one such row would carry the estimate."""

MC_DRAWS_FLOOR = 5
"""A propensity estimated from n draws is unknown below this many of them: its error exceeds half of it."""

ROUNDING = 1e-9
"""A probability may exceed one by the rounding of a sum."""


class Rule(NamedTuple):
    """One reason to leave a row out."""

    reason: str
    condition: str
    is_defect: bool
    """True: the row is wrong, and many such rows put the log in doubt. False: left out by design."""


_INCLUDED = (
    "isfinite(inclusion_probability) AND inclusion_probability > 0"
    f" AND inclusion_probability <= {1 + ROUNDING}"
)

_REWARD = (
    Rule("reward_missing", "reward IS NULL", False),
    Rule("reward_not_finite", "NOT isfinite(reward)", True),
)
_PROPENSITY = (
    Rule("propensity_missing", "propensity IS NULL", True),
    Rule("propensity_not_a_number", "NOT isfinite(propensity) AND NOT isinf(propensity)", True),
    Rule("propensity_zero", "propensity <= 0", True),
    Rule("propensity_above_one", f"propensity > {1 + ROUNDING}", True),
    Rule("propensity_below_floor", f"propensity < {PROPENSITY_FLOOR}", True),
    Rule("inclusion_probability_invalid", f"NOT coalesce({_INCLUDED}, false)", True),
)

LOG_RULES: tuple[Rule, ...] = (
    Rule("repeated", "is_repeat", True),
    Rule("pre_policy", "source = 'pre_policy'", False),
    Rule("time_missing", "decided_at IS NULL OR finalised_at IS NULL", True),
    Rule("not_activated", "NOT coalesce(activated, true)", False),
    *_REWARD,
    Rule("unknown_arm", "NOT coalesce(arm_index >= 0 AND arms[arm_index + 1] = arm, false)", True),
    Rule("pmf_of_other_length", "pmf IS NOT NULL AND len(pmf) <> len(arms)", True),
    *_PROPENSITY,
    Rule("propensity_below_its_draws", f"propensity < {MC_DRAWS_FLOOR}.0 / propensity_mc_n", True),
    Rule("deterministic", "deterministic", False),
)
"""For rows of the log. ``deterministic`` is last: such a row is sound, only its propensity says nothing."""


def scored_rules(policies: tuple[str, ...] = ("",), is_thinned: bool = True) -> tuple[Rule, ...]:
    """For rows of a scored relation, where ``e`` is the target policy's probability of the logged arm.

    Args:
        policies: suffixes of e, where a row has those of two policies.
        is_thinned: whether there is an inclusion_probability.
    """
    targets = [
        rule
        for e in (f"e{policy}" for policy in policies)
        for rule in (
            Rule("target_unknown", f"{e} IS NULL OR NOT isfinite({e})", True),
            Rule("target_invalid", f"NOT ({e} >= 0 AND {e} <= {1 + ROUNDING})", True),
        )
    ]
    return (*_REWARD, *(_PROPENSITY if is_thinned else _PROPENSITY[:-1]), *targets)


SCORED_RULES = scored_rules()

DEFECTS = frozenset(rule.reason for rule in LOG_RULES + SCORED_RULES if rule.is_defect)


def reason_sql(rules: tuple[Rule, ...]) -> str:
    """An SQL expression: the place (from 1) of the first rule that a row breaks, 0 if it breaks none."""
    cases = " ".join(f"WHEN {rule.condition} THEN {place}" for place, rule in enumerate(rules, 1))
    return f"CAST(CASE {cases} ELSE 0 END AS TINYINT)"
