"""The first start with a model that was trained elsewhere: its weights, or all of its trainer's state.

It becomes the state that the log begins with (``bases.py``), so that versions are rebuilt from it, and the
learner publishes it as its first version, before it has learnt anything here.
"""

from __future__ import annotations

import logging
from pathlib import Path

from policy_learner.archive import archive_reader
from policy_learner.errors import BadBase, BadCheckpoint
from policy_learner.join.positions import START
from policy_learner.learning.trainer import Trainer
from policy_learner.learning.training import Training
from policy_learner.models import checkpoint
from policy_learner.models.checkpoint import Checkpoint
from policy_learner.models.rebuild import Past, read_published
from policy_learner.rebase import rebases
from policy_learner.rebase.bases import save_base
from sidecar.contracts.errors import BadSettings, BadWeights
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.weights import decode_weights

log = logging.getLogger("sidearm.learner")


def begin_warm(past: Past, path: str) -> None:
    """Leave a checkpoint with the model of a file, if nothing was ever learnt here; else do nothing.

    Args:
        past: where to look, and where to leave it.
        path: of a weights record, a checkpoint, or a base; empty: the model begins untrained.

    Raises:
        BadSettings: the file is not there, is none of these, or is of another model.
        StoreError: the store is away.
        OSError: the disk is full or away.
    """
    if not path or not _is_first_start(past):
        return
    trainer, partitions = _read(past.application.model, Path(path)), (START,) * past.application.partitions
    saved = Checkpoint(
        version=0, epoch=0, examples=0, positions=partitions, trained=partitions, state=trainer.serialize()
    )
    save_base(past.log_folder, saved)
    record = Training.of(past.application, past.catalogues, saved).record(0, 0)
    checkpoint.save(past.data.checkpoints(past.name), saved, record.encoded)
    log.info("begun with the model of %s", path)


def _is_first_start(past: Past) -> bool:
    if read_published(past).version or checkpoint.load_latest(past.data.checkpoints(past.name)):
        return False
    return next(iter(archive_reader.versions(past.log_folder, past.name)), None) is None


def _read(model: ModelConfig, path: Path) -> Trainer:
    try:
        data = path.read_bytes()
        match data[:5]:
            case b"SDCK1":
                return Trainer.restore(model, checkpoint.decode(data, str(path)).state)
            case b"SDBS1":
                return Trainer.restore(model, rebases.decode(data, path).state.state)
            case _:
                return Trainer.warm(model, decode_weights(data))
    except (BadCheckpoint, BadBase, BadWeights) as error:
        raise BadSettings(f"warm_start: {path}: {error}") from error
    except OSError as error:
        raise BadSettings(f"warm_start: {path}: {error.strerror}") from error
