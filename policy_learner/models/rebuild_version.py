"""One version of the weights, trained again from the log."""

from __future__ import annotations

from policy_learner.errors import CannotRebuild
from policy_learner.join.catalogues import Catalogues, read_from_log
from policy_learner.models.replay import rebuilt
from policy_learner.models.replayed import Replayed
from sidecar.contracts.application import Application
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.weights import Weights, encode_weights


def rebuild_version(application: Application, data: DataFolder, version: int) -> tuple[Weights, bytes]:
    """The weights and their record, equal to what was published, bit for bit.

    Raises:
        CannotRebuild: the log does not know the version, or what comes out is something else.
    """
    log, result = data.log(application.name), Replayed()
    newest = 0
    for number, weights in rebuilt(application, log, Catalogues(read_from_log(log)), result):
        newest = number
        if number != version:
            continue
        if weights is None or not result.clean:
            raise CannotRebuild(f"version {version} comes out another way: {result.told[0].detail}")
        return weights, encode_weights(weights)
    raise CannotRebuild(
        f"version {version} is not in the version log below {log}, which goes up to {newest} (files are "
        "written every half minute)"
    )
