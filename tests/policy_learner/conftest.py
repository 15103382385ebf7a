"""What tests of kept versions ask for: a shop, and the sidecar that serves it."""

from __future__ import annotations

import pytest

from tests.decision_service.platform import ask_sidecar
from tests.policy_learner.kept_shop import Shop


@pytest.fixture
def shop(store, data_folder, tmp_path):
    return Shop(store, data_folder, tmp_path / "app")


@pytest.fixture
def sidecar(shop, store_url, processes):
    """The real one, on the shop's store; says which version it serves and whether that is pinned."""
    process = processes.start(
        "sidecar.server",
        "--app",
        shop.folder,
        "--data",
        shop.data.root,
        environ={"REDIS_URL": store_url},
    )
    socket = shop.data.sidecar_socket("world")

    def metric(name):
        lines = ask_sidecar(socket, "GET", "/metrics")[1].splitlines()
        return next(float(line.split()[1]) for line in lines if line.split()[0] == name)

    process.wait_until(lambda: ask_sidecar(socket, "GET", "/readyz")[0] == 200)
    return lambda: (int(metric("sidearm_weights_version")), bool(metric("sidearm_weights_pinned")))
