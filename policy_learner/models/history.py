"""The history: versions in the store that can be served again at once, dense now and sparse long ago."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import redis

from policy_learner.errors import Fenced
from sidecar.contracts import keys
from sidecar.contracts.errors import BadModel
from sidecar.contracts.learner_report import Judgement
from sidecar.contracts.models import Kept, decode_kept, info_of, thinned
from sidecar.contracts.scripts.models import KeepStatus, forget_call, keep_call, parse_keep
from sidecar.contracts.scripts.publish import Publication
from sidecar.contracts.store import Scripts
from sidecar.contracts.weights import decode_weights

if TYPE_CHECKING:
    from policy_learner.settings import LearnerSettings
    from policy_learner.timing import Every

_BYTES_OF_A_MEGABYTE = 1_000_000

log = logging.getLogger("sidearm.learner")


class History:
    """Keeps what is published, now and then, and forgets what has become too much.

    Args:
        scripts: of the store.
        app: the application's name.
        settings: the learner's.
        timer: when the next version is kept; the first one is at once.
    """

    def __init__(self, scripts: Scripts, app: str, settings: LearnerSettings, timer: Every) -> None:
        self._scripts, self._app, self._settings, self._timer = scripts, app, settings, timer
        self._standing: Publication | None = None
        self._judgement: Judgement | None = None
        self._kept_any = False

    def note(self, publication: Publication, judgement: Judgement | None) -> None:
        """This version stands; nothing is written yet."""
        known = judgement if judgement and judgement.version == publication.version else None
        self._standing, self._judgement = publication, known

    def keep(self) -> None:
        """Keep the version that stands, if it is time for one more.

        Raises:
            Fenced: a later learner runs.
            StoreError: the store is away; call again.
        """
        publication = self._standing
        if publication is None or (self._kept_any and not self._timer.due):
            return
        try:
            self._keep(publication)
        except redis.ResponseError as error:  # at the memory limit: the next one, then
            log.error("version %d is not in the history: %s", publication.version, error)
        self._timer.restart()
        self._standing, self._kept_any = None, True

    def _keep(self, publication: Publication) -> None:
        weights = decode_weights(publication.record)
        info = info_of(weights, len(publication.record), publication.checksum, judgement=self._judgement)
        call = keep_call(self._app, info, publication.record, publication.epoch)
        if parse_keep(self._scripts.run(call)) is KeepStatus.FENCED:
            raise Fenced(f"learner of epoch {publication.epoch} is fenced off: a later one runs")
        most_bytes = round(self._settings.history_mb * _BYTES_OF_A_MEGABYTE)
        gone = thinned(read_kept(self._scripts.client, self._app), self._settings.history, most_bytes)
        if gone:
            self._scripts.run(forget_call(self._app, gone))


def read_kept(client: redis.Redis, app: str) -> list[Kept]:
    """All that are kept, oldest version first. What cannot be read is named and passed over."""
    stored = cast("dict[bytes, bytes]", client.hgetall(keys.model_infos(app)))
    kept = []
    for version, info in stored.items():
        try:
            kept.append(decode_kept(info))
        except BadModel as error:
            log.error("version %r in the history: %s", version, error)
    return sorted(kept, key=lambda one: one.info.version)
