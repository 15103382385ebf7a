"""Phase 1: a real log. Imported, joined, learnt from, and other policies evaluated on what was kept back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decision_service.cli.platform import free_port, started
from examples.demo.screen import Screen
from examples.fashion import application, bts, dataset
from examples.fashion.importer import Imported, import_rows
from examples.settled import published_weights, wait_until_learnt
from offline_eval.dataset import Window
from offline_eval.evaluate import Options, evaluate
from offline_eval.results import Evaluation
from offline_eval.reward_model import ModelSettings
from offline_eval.target_policy import Table, TargetPolicy, Uniform, epsilon_greedy, greedy
from sidecar.contracts.application import Application
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import Scripts, connect
from sidecar.contracts.weights import Weights

BTS_DRAWS = 100_000
BTS_SEED = 12345
NAMES = {
    "greedy": "learned, greedy",
    "epsilon:0.1": "learned, epsilon 0.1",
    "bts": "Bernoulli TS (the shop's)",
    "uniform": "uniform (the logger)",
}
_DEADLINE_S = 60.0


@dataclass(frozen=True)
class FashionRun:
    """What came of it."""

    application: Application
    folder: Path
    imported: Imported
    weights: Weights
    evaluation: Evaluation


def run_fashion(screen: Screen, data: DataFolder, environ: Mapping[str, str]) -> FashionRun:
    """Import, learn, evaluate.

    Raises:
        DatasetError: the data set cannot be had.
        SidearmError: a process died, or did not come to its end.
    """
    frame = dataset.read("random", "all")
    folder = application.write_application(data.root, dataset.item_context("random", "all"))
    known, catalogue = application.load(folder)
    with (
        started(folder, data, port=free_port(), environ=environ, parts=("learner",)) as platform,
        connect(platform.store_url) as client,
    ):
        with screen.bar("impressions", len(frame)) as show:
            done = 0

            def advance(rows: int) -> None:
                nonlocal done
                done += rows
                show(done, "imported with their logged propensities")

            imported = import_rows(Scripts.on(client), known, catalogue, frame, "random", "all", advance)
        wait_until_learnt(client, known, deadline_s=_DEADLINE_S, look=lambda _: platform.check())
        weights = published_weights(client, known.name)
    candidates = _candidates(weights)
    options = Options(model=ModelSettings(("context.position",)))
    evaluation = evaluate(data.log(known.name), candidates, Window(since=imported.split_at), options)
    return FashionRun(known, folder, imported, weights, evaluation)


def _candidates(weights: Weights) -> list[TargetPolicy]:
    alpha, beta = bts.prior("all")
    table = bts.action_table(alpha, beta, np.random.default_rng(BTS_SEED), BTS_DRAWS)
    by_position = {
        str(position): {application.arm_id(item): float(p) for item, p in enumerate(table[:, position])}
        for position in range(bts.POSITIONS)
    }
    shop_policy = Table("bts", by_position, by="context.position")
    return [greedy(weights), epsilon_greedy(weights, 0.1), shop_policy, Uniform()]
