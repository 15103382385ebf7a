"""``sidearm keys``: what it writes is what the service reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from decision_service.auth import Keyring, load_keys
from decision_service.cli.keys import keys_command
from decision_service.errors import NotAllowed
from sidecar.contracts.errors import BadSettings


def test_a_key_that_was_made_is_known_to_the_service_with_its_roles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may do what it was made for and nothing else; only its digest is stored."""
    keys_command(tmp_path / "secrets", "shop", ["decide"])
    secret = capsys.readouterr().out.strip()
    keyring = Keyring(load_keys(tmp_path / "secrets" / "keys.json"))
    assert keyring.authorise(f"Bearer {secret}", "decide").name == "shop"
    with pytest.raises(NotAllowed):
        keyring.authorise(f"Bearer {secret}", "admin")
    assert secret not in (tmp_path / "secrets" / "keys.json").read_text()


def test_a_second_key_leaves_the_first_and_the_draw_secret_as_they_are(tmp_path: Path) -> None:
    """The draw secret is made once: replicas must share it."""
    keys_command(tmp_path, "shop", None)
    secret = (tmp_path / "draw_secret").read_bytes()
    keys_command(tmp_path, "console", None)
    assert {key.name for key in load_keys(tmp_path / "keys.json")} == {"shop", "console"}
    assert (tmp_path / "draw_secret").read_bytes() == secret


def test_an_unknown_role_is_refused_with_the_legal_ones(tmp_path: Path) -> None:
    """Nothing is written."""
    with pytest.raises(BadSettings, match="decide, reward, read, admin"):
        keys_command(tmp_path / "secrets", "shop", ["owner"])
    assert not (tmp_path / "secrets").exists()
