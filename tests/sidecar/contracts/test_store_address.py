"""The store's address: from the environment, from a file, or the embedded one's."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from decision_service.cli.main import root
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import connect
from sidecar.contracts.store_address import named_address, store_address


def test_a_file_holds_the_address_and_the_environment_wins(tmp_path: Path) -> None:
    """A line break at the end of the file is none of the address."""
    (tmp_path / "url").write_text("rediss://:secret@store:6380\n")
    environ = {"REDIS_URL_FILE": str(tmp_path / "url")}
    assert named_address(environ) == "rediss://:secret@store:6380"
    assert named_address(environ | {"REDIS_URL": "redis://other"}) == "redis://other"


def test_without_either_it_is_the_embedded_stores_socket(tmp_path: Path) -> None:
    """Nothing is to be set on one machine."""
    data = DataFolder(tmp_path)
    assert store_address({}, data) == f"unix://{data.store_socket()}"


def test_a_file_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    """One line, with the variable, the path and what should be there."""
    missing = {"REDIS_URL_FILE": str(tmp_path / "url")}
    with pytest.raises(BadSettings, match=r"REDIS_URL_FILE: .*/url should hold .*: No such file"):
        named_address(missing)
    (tmp_path / "url").write_text("\n")
    with pytest.raises(BadSettings, match="is empty"):
        named_address(missing)


@pytest.mark.parametrize("command", [("status",), ("explore", "show"), ("models", "list")])
def test_a_password_is_not_told_with_the_address(command: tuple[str, ...], tmp_path: Path) -> None:
    """Logs and last words of pods are read by many."""
    (tmp_path / "app.toml").write_text('name = "told"\n')
    (tmp_path / "arms.json").write_text('[{"id": "a"}]')
    environ = {"REDIS_URL": "redis://:hunter2@127.0.0.1:1", "SIDEARM_APP": str(tmp_path)}
    said = CliRunner().invoke(root(), [*command, "--data", str(tmp_path)], env=environ)
    assert "127.0.0.1:1" in str(said.exception)
    assert "hunter2" not in f"{said.exception} {said.output}"


def test_what_is_no_address_is_refused_without_its_password() -> None:
    """A scheme that is misspelt."""
    with pytest.raises(BadSettings, match="'rediz://store' is no address") as refused:
        connect("rediz://:hunter2@store")
    assert "hunter2" not in str(refused.value)
