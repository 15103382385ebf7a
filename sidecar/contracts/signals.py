"""SIGTERM and SIGINT, before a server listens to them and after it has ended."""

from __future__ import annotations

import signal


def note_signals() -> list[int]:
    """Those that come are noted in the list, for a server to stop at once that had not begun to listen.

    The server raises the signal that stopped it once more when all is done; that must not kill us.
    """
    noted: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: noted.append(received))
    return noted
