"""Models in several containers: each is waited for as its entry says, and no longer than it matters."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from decision_service.api.recommendations import RecommendationRequest
from decision_service.canaries import Canaries
from decision_service.decoys import Decoys
from decision_service.errors import SidecarFailed
from decision_service.mailbox import Mailbox, versions_of
from decision_service.prepolicy import Shelf, eligible
from decision_service.row_scores import RowScores
from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.roster import Model, Roster
from sidecar.contracts.wire import ScoreRow, VersionScores

SHELF = Shelf(catalogue_of((Arm("a"), Arm("b"))))
ARMS = eligible(RecommendationRequest(session_id="s"), SHELF)
NOWHERE = Path("/nonexistent")
SCORES = np.array([0.5, 0.25], "<f4").tobytes()
HOW = Exploration(epsilon=0.2, control_share=0.03)


class Container:
    """Answers when it is told to, or fails."""

    def __init__(self, answer=None, error=None, after=None):
        self.answer = answer or RowScores(SCORES, 7, False)
        self.error, self.after = error, after
        self.left_s = None
        self.cancelled = False

    async def score_all(self, rows, catalogue, left_s, gathered=False):
        self.left_s = left_s
        try:
            if self.after is not None:
                await self.after.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return [self.error or self.answer for _ in rows]


def champion(**fields):
    return Model(name="champion", role="champion", **fields)


def meet(containers, *models, left_s=60.0):
    decoys = Decoys(lambda name: NOWHERE, 0, b"secret", lambda: 0, lambda *_: None)
    canaries = Canaries(None, "bench", lambda *_: None)
    box = Mailbox(containers.__getitem__, lambda: Roster(models), decoys, canaries)
    return box.meet("0-1", ScoreRow({}), ARMS, HOW, left_s)


async def test_models_of_one_container_answer_together():
    """Their exploration is their own but for the control share, which is one, of the whole procedure."""
    other = VersionScores(3, SCORES)
    sidecar = Container(RowScores(SCORES, 7, False, models=(other,)))
    bold = Model(name="bold", role="challenger", version=3, share=0.5, exploration=Exploration("uniform"))
    met = await meet({"": sidecar}, champion(), bold)
    (candidate,) = met.candidates
    assert (met.policy, met.exploration, candidate.policy) == ("champion", HOW, "bold")
    assert candidate.exploration == Exploration("uniform", control_share=0.03)


async def test_the_wait_of_one_container_is_the_longest_of_its_models():
    sidecar = Container()
    await meet({"": sidecar}, champion(wait_ms=10), Model(name="s", role="shadow", wait_ms=20))
    assert sidecar.left_s == pytest.approx(0.02)
    await meet({"": sidecar}, champion(), left_s=0.03)
    assert sidecar.left_s == pytest.approx(0.03)


async def test_a_challenger_that_is_late_is_missing_and_given_up():
    never = asyncio.Event()
    slow = Container(after=never)
    bold = Model(name="bold", role="challenger", share=0.4, container="own", wait_ms=5)
    met = await meet({"": Container(), "own": slow}, champion(), bold, left_s=60.0)
    assert (met.policy, met.probability, met.missing) == ("champion", 1.0, ("bold",))
    await asyncio.sleep(0)
    assert slow.cancelled


async def test_who_cannot_change_the_answer_is_not_waited_for():
    """A shadow of another container is missing; the deadline is a minute away."""
    never = asyncio.Event()
    models = (
        champion(),
        Model(name="dark", role="shadow", container="own"),
        Model(name="spare", role="challenger", container="other"),
    )
    containers = {"": Container(), "own": Container(after=never), "other": Container(after=never)}
    met = await meet(containers, *models, left_s=60.0)
    assert (met.policy, met.missing) == ("champion", ("dark", "spare"))


async def test_a_spare_answers_for_a_champion_whose_container_fails():
    containers = {"": Container(error=SidecarFailed("gone")), "own": Container()}
    met = await meet(containers, champion(), Model(name="spare", role="challenger", container="own"))
    assert (met.policy, met.probability, met.missing) == ("spare", 1.0, ("champion",))
    assert met.model_version == -8  # its own version 7


async def test_when_nobody_answers_the_reason_is_told():
    with pytest.raises(SidecarFailed, match="gone"):
        await meet({"": Container(error=SidecarFailed("gone"))}, champion())
    both = {"": Container(error=SidecarFailed("gone")), "own": Container(error=SidecarFailed("gone"))}
    with pytest.raises(SidecarFailed, match="gone"):
        await meet(both, champion(), Model(name="x", role="challenger", container="own"))


async def test_a_model_whose_scores_are_none_is_as_if_it_had_not_answered():
    bad = (VersionScores(3, SCORES[:4]), VersionScores(4, np.array([np.nan, 0.0], "<f4").tobytes()))
    sidecar = Container(RowScores(SCORES, 7, False, models=bad))
    models = [Model(name=f"m{v}", role="challenger", version=v, share=0.3) for v in (3, 4, 5)]
    met = await meet({"": sidecar}, champion(), *models)
    assert (met.policy, met.probability, met.missing) == ("champion", 1.0, ("m3", "m4", "m5"))


def test_a_container_is_asked_for_its_own_versions_only():
    models = (
        champion(),
        Model(name="a", role="shadow", version=9),
        Model(name="b", role="shadow", version=4),
        Model(name="c", role="shadow", version=9),
        Model(name="d", role="decoy", version=2),
        Model(name="e", role="shadow", version=5, container="own"),
    )
    assert versions_of(Roster(models), "") == (4, 9)
    assert versions_of(Roster(models), "own") == (5,)
