"""Who takes the champion's place, and what becomes of the champion."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from policy_learner.promotion.ledger import identity
from sidecar.contracts.contests import Contest, Promotion
from sidecar.contracts.errors import BadModel
from sidecar.contracts.roster import Roster
from sidecar.contracts.roster_changes import promoted, with_model


def successor(contests: Sequence[Contest], roster: Roster) -> Contest | None:
    """The contest that a challenger has won, by most where there are several. Shadows do not answer."""
    won = [one for one in contests if one.verdict == "better" and _challenges(one, roster)]
    return max(won, key=lambda one: one.lower, default=None)


def in_place(roster: Roster, contest: Contest, held: Roster) -> Roster:
    """The roster in which the two have changed places, and the challenger's share is the champion's.

    With a share it goes on being compared well: should the new champion turn bad, it comes back soon.

    Args:
        roster: as it is.
        contest: that was won.
        held: the roster in which it was held.

    Raises:
        BadModel: the two do not meet any more, or one of them has other weights now.
    """
    if roster.champion.name != contest.champion or not _challenges(contest, roster):
        raise BadModel(f"{contest.challenger!r} does not challenge {contest.champion!r} any more")
    for name in (contest.champion, contest.challenger):
        if identity(roster.named(name)) != identity(held.named(name)):
            raise BadModel(f"{name!r} is another model now")
    share = roster.named(contest.challenger).share
    changed = promoted(roster, contest.challenger)
    return with_model(changed, msgspec.structs.replace(changed.named(contest.champion), share=share))


def promotion_of(contest: Contest, last: Promotion | None) -> Promotion:
    """What is said of it.

    Args:
        contest: that was won.
        last: the promotion before; None: there was none.
    """
    back = last is not None and (last.champion, last.predecessor) == (contest.champion, contest.challenger)
    return Promotion(
        kind="rolled back" if back else "promoted",
        champion=contest.challenger,
        predecessor=contest.champion,
        contest=contest,
    )


def said(promotion: Promotion) -> str:
    """In a line for people."""
    contest = promotion.contest
    return (
        f"{promotion.champion} {promotion.kind} in place of {promotion.predecessor}: earns "
        f"{contest.lower:.4g} to {contest.upper:.4g} more a decision ({contest.decisions} decisions, "
        f"error {contest.error:g})"
    )


def _challenges(contest: Contest, roster: Roster) -> bool:
    return any(one.name == contest.challenger and one.role == "challenger" for one in roster.models)
