"""Ask a sidecar on its Unix socket how it is, for probes: ``python -m sidecar.server.probe SOCKET /livez``.

Standard library alone: a probe runs every few seconds beside the process that it looks at.
"""

from __future__ import annotations

import socket
import sys

TIMEOUT_S = 2.0
_OK = 200


def status_of(path: str, target: str) -> int:
    """The HTTP status that the sidecar answers ``target`` with.

    Raises:
        OSError: nobody answers there.
        ValueError: what answers does not speak HTTP.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(TIMEOUT_S)
        line.connect(path)
        line.sendall(f"GET {target} HTTP/1.1\r\nhost: sidecar\r\nconnection: close\r\n\r\n".encode())
        words = line.makefile("rb").readline().split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError(f"{path} does not speak HTTP")
    return int(words[1])


def main(arguments: list[str]) -> int:
    """0 when the sidecar says 200, 1 when not, 2 when called wrongly."""
    if len(arguments) != 2:
        print("usage: python -m sidecar.server.probe SOCKET /livez|/readyz", file=sys.stderr)
        return 2
    try:
        status = status_of(*arguments)
    except (OSError, ValueError) as error:
        print(f"sidecar at {arguments[0]}: {error}", file=sys.stderr)
        return 1
    return 0 if status == _OK else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
