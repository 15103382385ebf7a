"""What may stand in a roster of models; who reads one from the store checks it too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from sidecar.contracts.errors import BadModel
from sidecar.contracts.roster import FIRST_ROSTER, LIVE, MOST_MODELS, Model, Roster

_SUM_TOLERANCE = 1e-9
_encode = msgspec.json.Encoder().encode
_model = msgspec.json.Decoder(Model)
_models = msgspec.json.Decoder(tuple[Model, ...])
_LEGAL = {
    "name": "a letter from a to z, then up to 62 of a-z, 0-9, dot, dash and underscore",
    "role": "champion, challenger, shadow, decoy or canary",
    "version": "live, or a version that is kept",
    "share": "0 to 1",
    "priority": "a whole number from -1000 to 1000",
    "wait_ms": "whole milliseconds from 0 to 60000, or none",
    "container": "a letter from a to z, then up to 30 of a-z, 0-9, dash and underscore",
}


def decode_roster(stored: Mapping[bytes, bytes]) -> Roster:
    """The roster from its hash; an empty one is that of an application with one model.

    Raises:
        BadModel: what lies there is no roster.
    """
    if not stored:
        return FIRST_ROSTER
    try:
        models, revision = _models.decode(stored[b"models"]), int(stored[b"revision"])
    except (KeyError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise BadModel(f"what lies in the store is no roster of models: {error!r}") from error
    return checked_roster(Roster(models, revision))


def checked_roster(roster: Roster) -> Roster:
    """The roster, if it can be served.

    Raises:
        BadModel: a field outside its range, not one champion, a name twice, shares beyond the whole, too many
            models, or a share of a model whose role has none.
    """
    _typed(roster)
    names, roles = Counter(one.name for one in roster.models), Counter(one.role for one in roster.models)
    twice = [name for name, count in names.items() if count > 1]
    shares = sum(one.share for one in roster.models if one.role == "challenger")
    if twice:
        raise BadModel(f"{twice[0]!r} stands twice among the models: names must differ")
    if roles["champion"] != 1:
        raise BadModel(f"{roles['champion']} champions: there is one")
    if shares > 1.0 + _SUM_TOLERANCE:
        raise BadModel(f"the challengers' shares add up to {shares:g}: at most 1 is legal")
    if len(roster.models) > MOST_MODELS:
        raise BadModel(f"{len(roster.models)} models: at most {MOST_MODELS} are legal")
    for one in roster.models:
        _check(one)
    return roster


def _typed(roster: Roster) -> None:
    """What a struct's constructor lets pass.

    Raises:
        BadModel: a name, a share or another field outside its range.
    """
    for model in roster.models:
        try:
            _model.decode(_encode(model))
        except (msgspec.MsgspecError, UnicodeError) as error:
            field = str(error).rpartition("$.")[2].partition("`")[0].partition(".")[0] or "name"
            value, legal = getattr(model, field, None), _LEGAL.get(field, str(error))
            raise BadModel(f"model {model.name!r}: {field} is {value!r}: legal is {legal}") from error


def _check(model: Model) -> None:
    if model.share and model.role not in ("challenger", "decoy"):
        raise BadModel(
            f"{model.name!r} is a {model.role}, which has no share: legal with challenger and decoy"
        )
    if model.name == "backstop":
        raise BadModel("'backstop' is what answers when no model does: another name is needed")
    if model.role == "canary" and model.version == LIVE and not model.container:
        raise BadModel(f"{model.name!r} is a canary: it needs a version, since it must never change")
    if model.exploration is not None and model.exploration.scheme == "logged":
        raise BadModel(f"{model.name!r} explores as 'logged', which is for imports only")
