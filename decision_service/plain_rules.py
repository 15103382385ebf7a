"""What rules say in first looks that all went well, column by column: a value a run.

A rule that is the same for everybody is read once, and those to whom no other rule says anything share what
was read: nearly all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from decision_service.api.recommendations import RecommendationRequest
from decision_service.feature_values import OK
from decision_service.looks import FirstLook, Looker
from decision_service.prepolicy import Eligible
from decision_service.rule_values import exclusions, reasons_of, says_nothing
from decision_service.shared_look import SharedLook
from feature_graph import Resolutions

Asked = Sequence[tuple[RecommendationRequest, Eligible]]
"""Requests, and what each allows."""
Said = tuple[dict[str, str], dict[str, str]]
"""What rules exclude, arm to reason, and how each was had."""


def looks_of(
    looker: Looker,
    shared: SharedLook,
    asked: Asked,
    given: Sequence[dict[str, object]],
    resolved: Resolutions,
    fetch_until: float,
) -> list[FirstLook] | None:
    """What comes of runs for the same arms, as they were ``given``; None: one of them needs a closer look."""
    rules, names = looker.declared.first_look, looker.carried_plainly
    told = None if looker.declared.answers or names is None else resolved.plainly((*rules, *names))
    if told is None or names is None:
        return None
    wave = shared.wave_of(asked[0][1], resolved[0])
    if looker.about_later:
        about_arms = looker.about_arms(asked[0][1])
        given = [inputs | about_arms for inputs in given]
    carried: list[dict[str, object]] = [{} for _ in asked]
    for name, column in zip(names, told[len(rules) :], strict=True):
        for row, value in zip(carried, column, strict=True):
            row[name] = value
    said = _said_of(shared.division.own_rules, dict(zip(rules, told, strict=False)), len(asked))
    return [
        FirstLook(excluded, (), outcomes, inputs, row, fetch_until, wave)
        for (excluded, outcomes), inputs, row in zip(said, given, carried, strict=True)
    ]


def _said_of(own: Sequence[str], told: Mapping[str, Sequence[object]], runs: int) -> list[Said]:
    """Of each run; all rules but ``own`` say the same to all of them."""
    of_all = {rule: (OK, {}) if rule in own else reasons_of(column[0], rule) for rule, column in told.items()}
    said = [exclusions(of_all)] * runs  # one for those to whom the own rules say nothing: most
    for run in {run for rule in own for run, value in enumerate(told[rule]) if not says_nothing(value)}:
        said[run] = exclusions(of_all | {rule: reasons_of(told[rule][run], rule) for rule in own})
    return said
