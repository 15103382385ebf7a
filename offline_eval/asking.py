"""What an application asks of its log: ``[evaluation]`` of its ``app.toml`` in the words of ``evaluate``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from offline_eval.settings import EvaluationSettings, evaluation_settings
from sidecar.contracts.application import load_application
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store_address import store_address

_OF_FILES = ("table", "function")


class Asked(NamedTuple):
    """Arguments of ``sidearm evaluate``, and where the answer goes."""

    log: Path
    settings: EvaluationSettings
    candidates: tuple[str, ...]
    weights: str
    since: dt.datetime
    until: dt.datetime
    folder: Path
    """Of the application's evaluations."""

    @property
    def day(self) -> dt.date:
        """The last one that is evaluated."""
        return (self.until - dt.timedelta(microseconds=1)).date()


def asked_by(
    app: Path,
    data: Path,
    environ: Mapping[str, str],
    now: dt.datetime,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> Asked:
    """What the application in a folder asks at a moment.

    Args:
        app: the application's folder.
        data: the data folder.
        environ: overrides settings, and names the store.
        now: the end of the window is the beginning of its day, UTC.
        since: begin there instead.
        until: end there instead.

    Raises:
        BadApplication: the folder cannot be used.
        BadSettings: ``[evaluation]`` makes no sense, or the file with the store's address cannot be read.
    """
    application, folder = load_application(app), DataFolder(data)
    settings = evaluation_settings(application.evaluation, environ)
    end = until or now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Asked(
        folder.log(application.name),
        settings,
        tuple(_beside(one, app) for one in settings.candidates),
        settings.weights or store_address(environ, folder),
        since or end - dt.timedelta(days=settings.days),
        end,
        folder.evaluations(application.name),
    )


def _beside(candidate: str, app: Path) -> str:
    """Files that a candidate names lie beside ``app.toml``.

    >>> _beside("table:by-segment.json", Path("examples/shop")), _beside("greedy", Path("examples/shop"))
    ('table:examples/shop/by-segment.json', 'greedy')
    """
    kind, _, file = candidate.partition(":")
    return f"{kind}:{app / file}" if kind in _OF_FILES else candidate
