"""From what an application's rules say to exclusions with their reasons, and to answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from decision_service.feature_values import OK, UNUSABLE, WORDS, usable
from feature_graph import Resolution
from feature_graph.node import MISSING

NOT_ELIGIBLE = "not_eligible"
"""Outcome of a rule that answers with arms none of which may be chosen."""


def reasons(found: Resolution, rule: str) -> tuple[str, dict[str, str]]:
    """How a rule's value was had, and which arms it excludes why."""
    status, value = found.had(rule)
    if value is None or value is MISSING:
        return found.outcomes[rule].status.value, {}
    return reasons_of(value, rule, WORDS[status])


def reasons_of(value: object, rule: str, had: str = OK) -> tuple[str, dict[str, str]]:
    """The same of its value, which was ``had`` so."""
    if says_nothing(value):
        return had, {}
    try:
        why = _reasons(value, rule)
    except Exception:  # an application's own type may raise anything
        why = None
    return (UNUSABLE, {}) if why is None else (had, why)


def says_nothing(value: object) -> bool:
    """Whether a rule excludes nothing, as most do; False: it may still be so."""
    return value is None or (value.__class__ is dict and not value)


def _reasons(value: object, rule: str) -> dict[str, str] | None:
    if isinstance(value, Mapping):
        told = {arm: usable(reason) for arm, reason in value.items() if isinstance(arm, str)}
        return {arm: reason if isinstance(reason, str) and reason else rule for arm, reason in told.items()}
    if isinstance(value, set | frozenset | list | tuple):
        return {arm: rule for arm in value if isinstance(arm, str)}
    return None


Answers = tuple[tuple[str, tuple[str, ...]], ...]
"""Rules that answer at once, in the order in which they are heard, each with its arms, the best first."""


def answers(found: Resolution, rules: Sequence[str]) -> tuple[Answers, dict[str, str]]:
    """What answering rules say, without those that have no answer; and how each one's value was had."""
    said = {rule: _answer(found, rule) for rule in rules}
    heard = tuple([(rule, arms) for rule, (_, arms) in said.items() if arms])
    return heard, {rule: how for rule, (how, _) in said.items()}


def _answer(found: Resolution, rule: str) -> tuple[str, tuple[str, ...]]:
    status, value = found.had(rule)
    if value is None or value is MISSING:
        return found.outcomes[rule].status.value, ()
    try:
        arms = _answered(value)
    except Exception:  # an application's own type may raise anything
        arms = None
    return (UNUSABLE, ()) if arms is None else (WORDS[status], arms)


def _answered(value: object) -> tuple[str, ...] | None:
    """The first of an order is the arm to show, so a set is no answer."""
    if isinstance(value, str):
        return (str.__str__(value),)
    if isinstance(value, list | tuple) and all(isinstance(arm, str) for arm in value):
        return tuple([str.__str__(arm) for arm in value])
    return None


def exclusions(said: Mapping[str, tuple[str, dict[str, str]]]) -> tuple[dict[str, str], dict[str, str]]:
    """What rules exclude together, arm to reason, and how each was had; the first rule's reason counts."""
    excluded: dict[str, str] = {}
    for _, why in said.values():
        if why:
            excluded = {**why, **excluded}
    return excluded, {rule: how for rule, (how, _) in said.items()}
