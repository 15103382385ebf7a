"""Read a file in a process of its own first: a damaged one may end the process that reads it.

Polars answers most damage with an error, but some (a length that was altered, say) with an abort, which no
``except`` sees. A service that reads a table anew while it serves lets somebody else be the first to try.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from decision_service.sources.errors import BadTable

PATIENCE_S = 300.0


def survive(data: bytes, path: Path) -> None:
    """Read the bytes of a file in a child process; what it reads as is not looked at.

    Args:
        data: Parquet or Arrow IPC.
        path: where they are from; its suffix says which.

    Raises:
        BadTable: the child did not live to tell.
    """
    command = [sys.executable, "-m", "decision_service.sources.trial", path.suffix]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=PATIENCE_S)  # noqa: S603 - ours
    except subprocess.TimeoutExpired:
        raise BadTable(f"{path} cannot be read within {PATIENCE_S:g} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise BadTable(f"{path} is damaged: it ended its reader (code {done.returncode}: {said[0]})")


def main() -> None:
    """The child: a refusal is as good as an answer."""
    import polars as pl

    data = sys.stdin.buffer.read()
    try:
        pl.read_parquet(data) if sys.argv[1] == ".parquet" else pl.read_ipc(data)
    except Exception as error:  # the parent meets the same one and tells it better
        print(type(error).__name__)


if __name__ == "__main__":
    main()
