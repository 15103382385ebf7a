"""The roster: which models score an application's decisions, and what each one's scores are for.

One document, replaced as a whole by one script, so no replica ever sees half a change. An application nobody
deployed anything to has one model: the champion, which is the weights that the learner publishes.

What a role means is said in ``decision_service/rendezvous.py``, which names the official answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from sidecar.contracts.application import Exploration, Share
from sidecar.contracts.errors import BadModel

Role = Literal["champion", "challenger", "shadow", "decoy", "canary"]
"""``champion``: answers what no challenger does. ``challenger``: answers a share of the traffic. ``shadow``:
scores, and is logged. ``canary``: scores, and the drift of its scores is watched. ``decoy``: scores nothing;
its inputs are archived."""

ANSWERING: tuple[Role, ...] = ("champion", "challenger")
"""Roles whose model can be the official one."""
LIVE = 0
"""The version of a model that is whatever the learner published last, or is pinned."""
FIRST = "champion"
"""Name of the one model of an application that nobody deployed anything to."""
MOST_MODELS = 256
_SUM_TOLERANCE = 1e-9

ModelName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
ContainerName = Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_-]{0,30})?$")]


class Model(Struct, frozen=True, kw_only=True):
    """One model. Evolution: new fields have defaults, nothing changes type."""

    name: ModelName
    role: Role
    version: Annotated[int, Meta(ge=0)] = LIVE
    """Of the weights that it scores with; ``LIVE``: the learner's newest."""
    share: Share = 0.0
    """Of the traffic that a challenger answers; of a decoy: the share whose inputs are archived."""
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    """Among challengers: the highest that answered stands in for a champion that did not."""
    wait_ms: Annotated[int, Meta(ge=0, le=60_000)] | None = None
    """How long a decision waits for it. None: an answering one as long as the deadline allows, others not at
    all."""
    exploration: Exploration | None = None
    """How its scores become probabilities; None: as the decision's do. Its control share is always that of
    the decision."""
    container: ContainerName = ""
    """Which model container scores with it; empty: the sidecar."""

    @property
    def can_answer(self) -> bool:
        """Whether it can be the official one."""
        return self.role in ANSWERING


class Roster(Struct, frozen=True):
    """All models of an application, at one revision."""

    models: tuple[Model, ...]
    revision: int = 0
    """Counts the changes; 0: nobody ever deployed anything."""

    @property
    def champion(self) -> Model:
        """The one there is."""
        return next(model for model in self.models if model.role == "champion")

    def named(self, name: str) -> Model:
        """The model of that name.

        Raises:
            BadModel: there is none.
        """
        for model in self.models:
            if model.name == name:
                return model
        known = ", ".join(model.name for model in self.models)
        raise BadModel(f"no model is called {name!r}; there are: {known}")


FIRST_ROSTER = Roster((Model(name=FIRST, role="champion"),))


def with_model(roster: Roster, model: Model) -> Roster:
    """With a model more, or with another under a name that there was.

    A new champion's predecessor, if it has another name, stays as a challenger without a share.

    Raises:
        BadModel: the roster would be none.
    """
    others = [one for one in roster.models if one.name != model.name]
    if model.role == "champion":
        others = [_demoted(one) if one.role == "champion" else one for one in others]
    return checked_roster(Roster((*others, model), roster.revision))


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
    try:
        _models.decode(encode_models(roster))
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadModel(f"no such model: {error}; a name is a-z, then a-z, 0-9, dots and dashes") from error


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


def _demoted(model: Model) -> Model:
    return msgspec.structs.replace(model, role="challenger", share=0.0)


_encode = msgspec.json.Encoder().encode
_models = msgspec.json.Decoder(tuple[Model, ...])


def encode_models(roster: Roster) -> bytes:
    """The models as they are stored; the revision lies beside them."""
    return _encode(roster.models)


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


def versions_in(roster: Roster) -> tuple[int, ...]:
    """The fixed versions that its models score with, each once, in order."""
    return tuple(sorted({one.version for one in roster.models if one.version != LIVE}))
