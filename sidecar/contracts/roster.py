"""The roster: which models score an application's decisions, and what each one's scores are for.

One document, replaced as a whole by one script, so no replica ever sees half a change. An application nobody
deployed anything to has one model: the champion, which is the weights that the learner publishes.

What a role means is said in ``decision_service/rendezvous.py``, which names the official answer.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import BadModel
from sidecar.contracts.ranges import Share

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
    the decision, and its floor at least that."""
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


def promising(own: Exploration, decision: Exploration) -> Exploration:
    """How a model explores that has a way of its own.

    The decision's control share and its floor are promises of the whole procedure: they hold for each model.
    """
    floor = max(own.floor, decision.floor)
    return msgspec.structs.replace(own, control_share=decision.control_share, floor=floor)


FIRST_ROSTER = Roster((Model(name=FIRST, role="champion"),))


def answered_share(roster: Roster, model: Model) -> float | None:
    """Of the decisions that it answers while everybody does; None: it never answers."""
    if not model.can_answer:
        return None
    others = sum(one.share for one in roster.models if one.role == "challenger")
    return model.share if model.role == "challenger" else max(0.0, 1.0 - others)


def versions_in(roster: Roster) -> tuple[int, ...]:
    """The fixed versions that its models score with, each once, in order."""
    return tuple(sorted({one.version for one in roster.models if one.version != LIVE}))


def encode_models(roster: Roster) -> bytes:
    """The models as they are stored; the revision lies beside them."""
    return msgspec.json.encode(roster.models)
