"""What others wait for while somebody sends what no service wants: figures of ``failures.hostile``.

A process of its own sends bodies of a hundred million bytes (declared, and in chunks that never end), a
thousand levels, ten thousand arms, and wrong keys, one after another without a pause; each must be refused
with a 4xx. Meanwhile the usual callers measure.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.serving import need_wrk, wrk
from decision_service.cli.platform import free_port, started
from sidecar.contracts.layout import DataFolder

CONNECTIONS = 8
MOST_MS = 50.0
_HUGE_BYTES = 100_000_000
_CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"
_HEAD = "POST /v1/recommendations HTTP/1.1\r\nhost: sidearm\r\nauthorization: Bearer {key}\r\n"


def figures(scratch: Path) -> list[Figure]:
    """p99 of the others, beside 50 ms.

    Raises:
        WrkMissing: with how to get it.
        RuntimeError: something hostile was not refused, or something else was.
    """
    need_wrk()
    shutil.rmtree(scratch, ignore_errors=True)
    with started(
        Path("examples/shop"), DataFolder(scratch), port=free_port(), environ=os.environ
    ) as platform:
        wrk(platform.port, CONNECTIONS, platform.key)  # warm
        well = wrk(platform.port, CONNECTIONS, platform.key)
        with _attack(platform.port, platform.key) as attack:
            run = wrk(platform.port, CONNECTIONS, platform.key)
    refused = json.loads(attack.stdout.read() if attack.stdout else "{}")
    if run.failed or set(refused) - {"401", "413", "422"} or len(refused) < 3:
        raise RuntimeError(f"{run.failed} of the others failed; what was hostile was answered {refused}")
    facts = {"refused": refused, "p99_without_ms": well.p99_ms, "calls": run.calls}
    return [Figure("failures.hostile_p99_ms", run.p99_ms, "ms", MOST_MS, "50 ms", at_most=1.0, facts=facts)]


@contextlib.contextmanager
def _attack(port: int, key: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.hostile", str(port), key]
    attack = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        yield attack
    finally:
        if attack.stdin:
            attack.stdin.close()
        attack.wait(timeout=60)


def requests(key: str) -> Iterator[Iterator[bytes]]:
    """One of each, as the bytes to be sent."""
    head = _HEAD.format(key=key).encode()
    yield iter([head + b"content-length: %d\r\n\r\n" % _HUGE_BYTES, *[b" " * 65_536] * 100])
    yield iter([head + b"transfer-encoding: chunked\r\n\r\n", *[_CHUNK] * (_HUGE_BYTES // 65_536)])
    yield iter([whole(head, b'{"session_id":"s","context":' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}")])
    arms = json.dumps({"session_id": "s", "arms": [f"a{n}" for n in range(10_000)]}).encode()
    yield iter([whole(head, arms)])
    yield iter([whole(_HEAD.format(key="sk_" + "0" * 64).encode(), b'{"session_id":"s"}')])


def whole(head: bytes, body: bytes) -> bytes:
    """A request with its length."""
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def refusal_of(port: int, parts: Iterator[bytes]) -> str:
    """The status of the answer; sending ends when it comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        with contextlib.suppress(OSError):
            for part in parts:
                line.sendall(part)
        with contextlib.suppress(OSError):
            return line.recv(65_536)[9:12].decode()
    return "reset"


def attack(port: int, key: str) -> None:
    """Until the standard input is closed; then say how often each status came."""
    os.set_blocking(0, False)
    seen: dict[str, int] = {}
    give_up = time.monotonic() + 60
    while os_open(0) and time.monotonic() < give_up:
        for parts in requests(key):
            status = refusal_of(port, parts)
            seen[status] = seen.get(status, 0) + 1
    print(json.dumps(seen))


def os_open(descriptor: int) -> bool:
    """Whether the other end is still open."""
    try:
        return os.read(descriptor, 1) != b""
    except BlockingIOError:
        return True


if __name__ == "__main__":
    attack(int(sys.argv[1]), sys.argv[2])
