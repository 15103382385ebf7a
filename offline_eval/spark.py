"""Spark as the engine of an evaluation: local, by Spark Connect, or the session that is already there."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from offline_eval.errors import BadEngine
from offline_eval.summing import Asked

if TYPE_CHECKING:
    from offline_eval.ibis_engine import IbisEngine

_PORT = 15002
"""Of Spark Connect, where its address names none."""
_PATIENCE_S = 5.0
"""To reach the server. pyspark itself would try for ten minutes."""
_LOCAL = {
    "spark.master": "local[*]",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    # Spark's default of 200 is for clusters.
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 1),
}


@contextmanager
def spark_engine(asked: Asked, remote: str, folder: str) -> Iterator[IbisEngine]:
    """An engine that sums by Spark; what was written for it and what was started is gone afterwards.

    Args:
        asked: what is summed.
        remote: ``sc://host:port`` of a Spark Connect server; empty: this process's session, or a local one.
        folder: where scored rows are put for Spark; a remote one must see it under the same name. Empty: the
            folder for temporary files.

    Raises:
        BadEngine: Spark is not installed, does not start, does not answer, or fails.
    """
    _check(remote)
    try:
        import ibis

        from offline_eval.ibis_engine import IbisEngine
    except ImportError as error:
        raise _missing(error) from error
    with _folder(folder) as place, _session(remote, place) as session, _told():
        yield IbisEngine(asked, ibis.pyspark.connect(session), place / "scored")


def _check(remote: str) -> None:
    """Whether there is anything to connect to, before anything is scored."""
    if not remote:
        return
    address = urlsplit(remote)
    if address.scheme != "sc" or not address.hostname:
        raise BadEngine(f"{remote!r} is no Spark Connect address; legal: sc://host:port")
    try:
        socket.create_connection((address.hostname, address.port or _PORT), _PATIENCE_S).close()
    except OSError as error:
        raise BadEngine(f"no Spark Connect server answers at {remote}: {error}") from error


def _missing(error: ImportError) -> BadEngine:
    return BadEngine(f"Spark is not installed ({error}): pip install 'sidearm[eval,spark]'")


@contextmanager
def _folder(where: str) -> Iterator[Path]:
    try:
        with TemporaryDirectory(prefix="sidearm-spark-", dir=where or None) as made:
            place = Path(made)
            place.chmod(0o755)  # the server may be another user
            (place / "scored").mkdir()
            yield place
    except OSError as error:
        raise BadEngine(f"{where or 'the folder for temporary files'} cannot be used: {error}") from error


@contextmanager
def _session(remote: str, place: Path) -> Iterator[Any]:
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise _missing(error) from error
    running = None if remote else SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    session = _started(SparkSession.builder, remote, place)
    try:
        yield session
    finally:
        session.stop()


def _started(builder: Any, remote: str, place: Path) -> Any:  # noqa: ANN401 - pyspark's
    if not remote and not shutil.which("java") and "JAVA_HOME" not in os.environ:
        raise BadEngine("Spark needs Java 17 or later: no `java` is on the PATH, and JAVA_HOME is not set")
    settings = {} if remote else {**_LOCAL, "spark.sql.warehouse.dir": str(place / "warehouse")}
    for name, value in settings.items():
        builder = builder.config(name, value)
    with _told():
        return (builder.remote(remote) if remote else builder).getOrCreate()


@contextmanager
def _told() -> Iterator[None]:
    """What Spark says as one line."""
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        first = str(error).strip().partition("\n")[0]
        raise BadEngine(f"Spark: {first}") from error
