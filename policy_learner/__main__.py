"""Start the learner: ``python -m policy_learner --app examples/shop --data data``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from policy_learner.archive.log_keeping import wall_ms
from policy_learner.errors import Fenced, LearnerError
from policy_learner.failpoints import arm_from
from policy_learner.learning.isolated_trainers import IsolatedTrainers
from policy_learner.learning.tracing import TrainingTraces
from policy_learner.metrics import LearnerMetrics
from policy_learner.rebase.nightly import Nightly
from policy_learner.run import run
from policy_learner.settings import LearnerSettings, learner_settings
from policy_learner.starting import folders_of, give_way, told_to_stop
from policy_learner.state import Deps
from sidecar.contracts.application import Application, load_application
from sidecar.contracts.errors import ContractError
from sidecar.contracts.garbage import search_less
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.process_log import last_word
from sidecar.contracts.store import Scripts, connect
from sidecar.contracts.store_address import store_address
from sidecar.contracts.tracing import flush, tracers_of

BAD_SETTINGS = 2
FENCED = 3
"""A later learner took over: whoever started this one should not start it again."""
CANNOT_RESUME = 4
"""The published model cannot be had again from this data folder, or its log is damaged."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Learn until SIGTERM or SIGINT; 0 after an orderly stop, else one line on stderr and a code above."""
    try:
        folders, stop = folders_of("python -m policy_learner", __doc__, argv, environ), told_to_stop()
        arm_from(environ)
        deps = _deps(folders.named(), folders.data, environ)
        search_less()
        give_way(deps.settings.niceness)
        if (tracers := tracers_of("learner", environ)) is not None:
            deps = deps._replace(traces=TrainingTraces(tracers))
        with deps.scripts.client:
            run(deps, stop)
        flush(tracers)
    except Fenced as error:
        return _say(error, FENCED)
    except LearnerError as error:
        return _say(error, CANNOT_RESUME)
    except (ContractError, OSError) as error:
        return _say(error, BAD_SETTINGS)
    return 0


def _deps(folder: Path, data: DataFolder, environ: Mapping[str, str]) -> Deps:
    application = load_application(folder)
    settings = learner_settings(application.learner, environ)
    if settings.warm_start:
        settings = msgspec.structs.replace(settings, warm_start=str(folder / settings.warm_start))
    client = connect(store_address(environ, data))
    metrics = LearnerMetrics(time.monotonic)
    if settings.metrics_port:
        metrics.serve(settings.metrics_host, settings.metrics_port)
    trainers = _trainers(application, settings, data) if settings.isolate_trainer else None
    nightly = Nightly(
        data.checkpoints(application.name), (str(folder), "--data", str(data.root)), settings, wall_ms
    )
    return Deps(
        application, settings, data, Scripts.on(client), time.monotonic, metrics.show, trainers, nightly
    )


def _trainers(application: Application, settings: LearnerSettings, data: DataFolder) -> IsolatedTrainers:
    path, bits = data.checkpoints(application.name) / "attempts", application.model.bits
    return IsolatedTrainers(path, settings.trainer_patience_s, bits=bits)


def _say(error: Exception, code: int) -> int:
    last_word("policy_learner", error)
    return code


if __name__ == "__main__":
    sys.exit(main())
