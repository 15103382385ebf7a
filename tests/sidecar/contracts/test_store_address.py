"""The store's address: from the environment, from a file, or the embedded one's."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from decision_service.cli.main import root
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import connect
from sidecar.contracts.store_address import feature_store_address, named_address, store_address, stores_of


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


def test_the_feature_store_is_the_store_unless_it_has_a_name(tmp_path: Path) -> None:
    """Who names a store has the tables there too; who names neither has a server for each."""
    data, named = DataFolder(tmp_path), {"REDIS_URL": "redis://store"}
    assert stores_of(named, data) == ("redis://store", "redis://store")
    assert stores_of(named | {"FEATURE_STORE_URL": "redis://f"}, data) == ("redis://store", "redis://f")
    assert stores_of({}, data) == (
        f"unix://{data.store_socket()}",
        f"unix://{data.feature_store_socket()}",
    )
    (tmp_path / "url").write_text("redis://f\n")
    of_file = {"FEATURE_STORE_URL_FILE": str(tmp_path / "url")}
    assert feature_store_address(of_file, data) == "redis://f"
    assert store_address(of_file, data) == f"unix://{data.store_socket()}"


def test_an_address_that_is_none_is_told_with_its_setting(tmp_path: Path) -> None:
    """Which variable or file, what it says, and what is legal."""
    (tmp_path / "url").write_text("store:6379")
    for environ, said in (
        (
            {"REDIS_URL": "http://me:secret@store"},
            "REDIS_URL: 'http://store' is no address of a store: redis",
        ),
        ({"FEATURE_STORE_URL": "store"}, "FEATURE_STORE_URL: 'store' is no address .* or unix://"),
        ({"FEATURE_STORE_URL_FILE": str(tmp_path / "url")}, "FEATURE_STORE_URL_FILE: .*/url: 'store:6379'"),
    ):
        with pytest.raises(BadSettings, match=said):
            stores_of(environ, DataFolder(tmp_path))


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
