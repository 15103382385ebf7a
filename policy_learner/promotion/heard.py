"""Which models a logged decision heard, put together so that many decisions are counted at once.

A model scores as it was logged, so nothing it says has been learnt from the decision; how it explores is
logged too, but for models that could not answer, which would explore as the roster says, else as those of
the decision's models did that have no way of their own. Who of them was official must not matter here: it
was named after the arm, so what depends on it has foreseen the arm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from policy_learner.archive.rows import is_learnt
from policy_learner.promotion.gains import NEVER
from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import PolicyError
from sidecar.contracts.events import Candidate, DecisionEvent
from sidecar.contracts.roster import LIVE, Model, promising
from sidecar.policy.evidence import Floats
from sidecar.policy.exploration import pmf_of

_SCORE_BYTES = 4
_PARITY = 1e-9
_CELLS = 1 << 18
"""Numbers of one kind that are in hand at once: 2 MB, however many arms and models there are."""


class Matured(NamedTuple):
    """A decision and what came of it."""

    event: DecisionEvent
    reward: float


class Voice(NamedTuple):
    """How one model took part."""

    name: str
    version: int
    """Of a model with a fixed version; ``LIVE`` of one that changes all the time."""
    probability: float
    """With which it would have been official."""
    exploration: Exploration


class Heard(NamedTuple):
    """Decisions with equally many arms that heard the same models; ``(n,)`` but for the first five."""

    voices: tuple[Voice, ...]
    scores: npt.NDArray[np.float32]
    """``(n_voices, n, n_arms)``"""
    pmfs: Floats
    """Of each model alone, likewise."""
    chances: Floats
    """That the arms were drawn from, ``(n, n_arms)``."""
    versions: tuple[int, ...]
    """Of each model in the newest of these decisions."""
    shown: npt.NDArray[np.intp]
    rewards: Floats
    propensities: Floats
    inclusion: Floats

    def place(self, model: Model) -> int | None:
        """Where this model's voice is, if it was heard as it is now."""
        for place, voice in enumerate(self.voices):
            if voice.name == model.name and voice.version == model.version:
                return place if _explores_as(model, voice.exploration) else None
        return None


def _explores_as(model: Model, explored: Exploration) -> bool:
    """Whether a model that has a way of its own explored in it: decisions from before may be in flight."""
    return model.exploration is None or promising(model.exploration, explored) == explored


class _Said(NamedTuple):
    voice: Voice
    version: int
    scores: bytes


_Heard = tuple[Matured, list[_Said]]


def heard(decisions: Iterable[Matured], known: Mapping[str, Model]) -> list[Heard]:
    """The decisions in which a known model was heard beside another one, in groups.

    Args:
        decisions: finalised ones. What was not drawn from scores is passed over, and so is what was not drawn
            from these: neither says anything of policies.
        known: the models there are, by name.
    """
    groups: dict[tuple[int, tuple[Voice, ...]], list[_Heard]] = {}
    for one in decisions:
        if one.event.source == "model" and is_learnt(one.event) and _is_scored(one.event):
            said = _said(one.event, known)
            key = len(one.event.scores), tuple([each.voice for each in said])
            groups.setdefault(key, []).append((one, said))
    parts = ((voices, part) for (size, voices), group in groups.items() for part in _parts(group, size))
    found = (_together(voices, part) for voices, part in parts)
    return [one for one in found if one is not None]


def _is_scored(event: DecisionEvent) -> bool:
    """Whether it has a number for each of some arms, the shown one among them, and probabilities that are."""
    n_arms, rest = divmod(len(event.scores), _SCORE_BYTES)
    chances = (event.official_probability, *[one.probability for one in event.candidates])
    return rest == 0 and 0 <= event.arm_index < n_arms and all(0.0 <= p <= 1.0 for p in chances)


def _parts(group: Sequence[_Heard], score_bytes: int) -> Iterator[Sequence[_Heard]]:
    """As many of a group as fit in hand, again and again."""
    cells = len(group[0][1]) * score_bytes // _SCORE_BYTES
    most = max(1, _CELLS // max(1, cells))
    return (group[start : start + most] for start in range(0, len(group), most))


def _said(event: DecisionEvent, known: Mapping[str, Model]) -> list[_Said]:
    """What each model said, in the order of their names."""
    own = Candidate(
        event.policy, event.model_version, event.official_probability, event.exploration, event.scores
    )
    answered = sorted([own, *event.candidates], key=lambda one: one.policy)
    decisions = _of_the_decision(answered, known)
    silent = [
        Candidate(
            one.policy, one.model_version, 0.0, _would_explore(known.get(one.policy), decisions), one.scores
        )
        for one in event.shadows
    ]
    alike = [one for one in (*answered, *silent) if len(one.scores) == len(event.scores)]
    said = [_Said(_voice(one, known), one.model_version, one.scores) for one in alike]
    return sorted(said, key=lambda one: one.voice.name)


def _voice(one: Candidate, known: Mapping[str, Model]) -> Voice:
    is_live = one.policy not in known or known[one.policy].version == LIVE
    return Voice(one.policy, LIVE if is_live else one.model_version, one.probability, one.exploration)


def _of_the_decision(answered: Sequence[Candidate], known: Mapping[str, Model]) -> Exploration:
    """The exploration that models have without one of their own; where all have one, that of the first."""
    plain = [one for one in answered if one.policy not in known or known[one.policy].exploration is None]
    return (plain or answered)[0].exploration


def _would_explore(model: Model | None, decisions: Exploration) -> Exploration:
    own = model.exploration if model is not None else None
    return decisions if own is None else promising(own, decisions)


def _together(voices: tuple[Voice, ...], group: Sequence[_Heard]) -> Heard | None:
    """All of a group as arrays; what is not finite, or was drawn otherwise, is left out."""
    decisions = [one for one, _ in group]
    joined = b"".join([said[n].scores for n in range(len(voices)) for _, said in group])
    scores = np.frombuffer(joined, "<f4").reshape(len(voices), len(group), -1)
    finite = np.isfinite(scores).all(axis=(0, 2))
    try:
        pmfs = np.stack([pmf_of(s[finite], v.exploration) for s, v in zip(scores, voices, strict=True)])
    except PolicyError:
        return None
    all_of_them = Heard(
        voices,
        scores[:, finite],
        pmfs,
        np.einsum("v,vna->na", np.array([voice.probability for voice in voices]), pmfs),
        tuple([said.version for said in group[-1][1]]),
        np.array([one.event.arm_index for one in decisions])[finite],
        np.array([one.reward for one in decisions])[finite],
        np.array([one.event.propensity for one in decisions])[finite],
        np.array([one.event.inclusion_probability for one in decisions])[finite],
    )
    return _as_drawn(all_of_them)


def _as_drawn(one: Heard) -> Heard | None:
    """Those whose propensity is what these scores make it."""
    chances = one.chances[np.arange(len(one.shown)), one.shown]
    is_drawn = (chances > NEVER) & (np.abs(chances - one.propensities) <= _PARITY)
    rows = np.flatnonzero(is_drawn & (one.inclusion > NEVER) & (one.inclusion <= 1.0))
    if not len(rows):
        return None
    return Heard(
        one.voices,
        one.scores[:, rows],
        one.pmfs[:, rows],
        one.chances[rows],
        one.versions,
        one.shown[rows],
        one.rewards[rows],
        one.propensities[rows],
        one.inclusion[rows],
    )
