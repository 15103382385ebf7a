"""Progressive figures of every model, from the scores that it gave when the decisions were made."""

from __future__ import annotations

import numpy as np
from msgspec import Struct, field

from policy_learner.learning.progressive import EXAMPLES_A_SLICE, MS_A_SLICE, Window, figures_of
from policy_learner.learning.slices import slice_from
from policy_learner.promotion.heard import Heard
from sidecar.contracts.contests import ModelFigures


class Watched(Struct):
    """One model's latest decisions."""

    window: Window = field(default_factory=Window)
    decisions: int = 0
    """It scored, since it is watched."""
    version: int = 0
    by_time: Window = field(default_factory=Window)


def watch(watched: Watched, decisions: Heard, place: int, at_ms: int) -> None:
    """Take note of decisions that the model at ``place`` of their voices scored.

    Args:
        watched: what is known of the model.
        decisions: some more.
        place: the model's.
        at_ms: the stream's clock at the end of them.
    """
    rows, shown = np.arange(len(decisions.shown)), decisions.shown
    expected = decisions.scores[place, rows, shown].astype(np.float64)
    weights = decisions.pmfs[place, rows, shown] / decisions.propensities
    part = slice_from(expected, decisions.rewards, weights, decisions.inclusion)
    watched.window.add(watched.decisions // EXAMPLES_A_SLICE, part)
    watched.by_time.add(at_ms // MS_A_SLICE, part)
    watched.decisions, watched.version = watched.decisions + len(rows), decisions.versions[place]


def figures(name: str, watched: Watched) -> ModelFigures:
    """What they say."""
    windows = [figures_of(window.total()) for window in (watched.window, watched.by_time)]
    return ModelFigures(name, watched.version, *windows)
