"""A world with an application's folder, whose versions are kept."""

from __future__ import annotations

import msgspec
from typer.testing import CliRunner

from decision_service.cli.main import root
from policy_learner.loop import step
from policy_learner.models.model_shelf import read_model
from policy_learner.settings import LearnerSettings
from sidecar.contracts.catalogue import encode_arms
from tests.policy_learner.world import ARMS, World

SETTINGS = LearnerSettings(publish_every_examples=1, archive_rows=1000, history_every_s=1.0, history=8)


class Shop(World):
    """A world with an ``app.toml``, whose decisions are scored with the version that is served."""

    def __init__(self, store, data, folder, **settings):
        super().__init__(store, data, settings=msgspec.structs.replace(SETTINGS, **settings))
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "app.toml").write_text(
            'name = "world"\npartitions = 2\n[reward]\nhorizon_s = 60\n[model]\nbits = 10\n'
            "[sidecar]\npoll_s = 5.0\nblock_ms = 500\n"
        )
        (folder / "arms.json").write_bytes(encode_arms(ARMS))
        self.served = None

    def weights(self):
        if self.served is not None:
            return read_model(self.client, "world", self.served)[0]
        return super().weights()

    def learn(self, learner, count=10):
        """Decide, reward, learn, publish, keep."""
        self.shop(count)
        self.now_s += 2.0
        for _ in range(50):
            if not step(learner):
                return learner.progress.version
        raise AssertionError("the learner does not come to rest")

    def run(self, *arguments, url, app=True):
        where = ["--app", str(self.folder)] if app else []
        asked = [*map(str, arguments), *where, "--data", str(self.data.root)]
        return CliRunner().invoke(root(), asked, env={"COLUMNS": "250", "REDIS_URL": url})
