"""The probe of the sidecar, against servers that answer, refuse, and are not there."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from sidecar.contracts.layout import DataFolder
from sidecar.server.probe import main


@pytest.mark.parametrize(
    ("answer", "code"), [(b"HTTP/1.1 200 OK\r\n\r\n", 0), (b"HTTP/1.1 503 x\r\n\r\n", 1), (b"hello\r\n", 1)]
)
def test_the_probe_says_what_the_server_says(answer: bytes, code: int, data_folder: DataFolder) -> None:
    """Only 200 is well."""
    path = data_folder.root / "probe.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            line, _ = server.accept()
            with line:
                line.recv(1024)
                line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert main([str(path), "/livez"]) == code
        thread.join()


def test_nobody_there_is_not_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A socket that does not exist is a line on stderr."""
    assert main([str(tmp_path / "none.sock"), "/livez"]) == 1
    assert "none.sock" in capsys.readouterr().err


def test_a_wrong_call_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    """Usage, exit code 2."""
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
