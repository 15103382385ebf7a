"""Models deployed, replaced, promoted and undeployed: from one roster to the next."""

from __future__ import annotations

import msgspec

from sidecar.contracts.errors import BadModel
from sidecar.contracts.roster import Model, Roster
from sidecar.contracts.roster_check import checked_roster


def with_model(roster: Roster, model: Model) -> Roster:
    """With a model more, or with another under a name that there was.

    A new champion's predecessor, if it has another name, stays as a challenger without a share.

    Raises:
        BadModel: the roster would be none.
    """
    models = {one.name: one for one in roster.models} | {model.name: model}
    if model.role == "champion":
        before = [one.name for one in roster.models if one.role == "champion" and one.name != model.name]
        models |= {name: _demoted(models[name]) for name in before}
    return checked_roster(Roster(tuple(models.values()), roster.revision))


def without_model(roster: Roster, name: str) -> Roster:
    """With a model less.

    Raises:
        BadModel: there is none of that name, or it is the champion.
    """
    if roster.named(name).role == "champion":
        raise BadModel(f"{name!r} is the champion: promote another model before it is undeployed")
    return Roster(tuple([one for one in roster.models if one.name != name]), roster.revision)


def promoted(roster: Roster, name: str) -> Roster:
    """With this model as champion; the one before stays as a challenger without a share.

    Raises:
        BadModel: there is none of that name, or it scores nothing.
    """
    model = roster.named(name)
    if model.role == "decoy":
        raise BadModel(f"{name!r} is a decoy: it scores nothing, so it cannot answer")
    return with_model(roster, msgspec.structs.replace(model, role="champion", share=0.0))


def _demoted(model: Model) -> Model:
    return msgspec.structs.replace(model, role="challenger", share=0.0)
