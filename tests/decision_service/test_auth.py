"""Keys: only who was given one comes in, only digests are stored."""

from __future__ import annotations

import stat

import msgspec
import pytest

from decision_service.auth import Keyring, ensure_development_key, load_keys, make_key
from decision_service.errors import NotAllowed, NotAuthenticated
from sidecar.contracts.errors import BadSettings


def hexes(count: int) -> str:
    return "ab" * count


def test_a_key_opens_what_its_roles_allow():
    """The same key is let in as reward and turned away as admin."""
    secret, key = make_key("till", ("reward",), hexes)
    keyring = Keyring((key,))

    assert keyring.authorise(f"Bearer {secret}", "reward") is key
    with pytest.raises(NotAllowed, match=r"till.*reward.*admin is needed"):
        keyring.authorise(f"Bearer {secret}", "admin")


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic abc", "sk_abab", "Bearer sk_abababab", "Bearer sk_" + "cd" * 32],
)
def test_anything_else_is_not_authenticated(header):
    """No header, another scheme, a cut key and a foreign key get the same answer."""
    _, key = make_key("till", ("reward",), hexes)

    with pytest.raises(NotAuthenticated):
        Keyring((key,)).authorise(header, "reward")


def test_a_key_that_shares_its_prefix_is_still_not_let_in():
    """The prefix finds a key; only the whole of it opens."""
    secret, key = make_key("till", ("reward",), hexes)

    with pytest.raises(NotAuthenticated):
        Keyring((key,)).authorise(f"Bearer {secret[:-1]}0", "reward")


def test_the_development_key_is_made_once_and_kept(data_folder):
    """A second start prints the same key, and the file of keys holds no secret."""
    first = ensure_development_key(data_folder.keys, {})
    second = ensure_development_key(data_folder.keys, {})

    assert first == second
    assert first.startswith("sk_")
    assert first not in data_folder.keys.read_text()
    assert stat.S_IMODE(data_folder.keys.stat().st_mode) == 0o600
    Keyring(load_keys(data_folder.keys)).authorise(f"Bearer {first}", "admin")


def test_the_environment_may_name_the_development_key_and_others_stay(data_folder):
    """A script's own key replaces the development key, and no real one."""
    ensure_development_key(data_folder.keys, {})
    real_secret, real = make_key("till", ("reward",), hexes)
    keys = (*load_keys(data_folder.keys), real)
    data_folder.keys.write_bytes(msgspec.json.encode(keys))

    ensure_development_key(data_folder.keys, {"SIDEARM_DEVELOPMENT_KEY": "sk_chosen_by_a_script"})

    keyring = Keyring(load_keys(data_folder.keys))
    assert keyring.authorise("Bearer sk_chosen_by_a_script", "decide").name == "development"
    assert keyring.authorise(f"Bearer {real_secret}", "reward").name == "till"


def test_a_broken_file_of_keys_is_a_clear_error(data_folder):
    """Not a list of keys: one line that says what a key is."""
    data_folder.keys.parent.mkdir(parents=True, exist_ok=True)
    data_folder.keys.write_text('[{"name": "till"}]')

    with pytest.raises(BadSettings, match="a key is name, prefix, sha256 and roles"):
        load_keys(data_folder.keys)
