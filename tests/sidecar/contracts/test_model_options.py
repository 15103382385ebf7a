"""Options of the model: what may be set, and what is refused by its name and with its reason."""

from __future__ import annotations

import pytest

from sidecar.contracts.application import load_application
from sidecar.contracts.errors import BadApplication
from sidecar.contracts.model_options import REFUSED


def _loaded(folder, model: str):
    (folder / "app.toml").write_text(f'name = "x"\n[model]\n{model}\n')
    return load_application(folder).model


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_an_option_of_vw_that_would_break_parity_is_refused_by_name(tmp_path, name):
    """Not as an unknown field: whoever asks for it learns why it is not there."""
    with pytest.raises(BadApplication, match=f"`model.{name}` is refused: .*{REFUSED[name][-20:]}"):
        _loaded(tmp_path, f"{name} = 1")


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ('interactions = ["ca", "ac"]', '"ac" is refused'),
        ('optimizer = "ftrl"\npower_t = 0.1', "ftrl has no power_t"),
        ('optimizer = "coin"\ninitial_t = 5', "coin has no power_t and no initial_t"),
        ('optimizer = "sgd"\nftrl_beta = 0.5', "sgd has no ftrl_beta"),
        ("initial_t = 0.0", "> 0.0"),
        ("power_t = 1.5", "<= 1.0"),
        ("shuffle = -1", ">= 0"),
        ("ngram = 2", "known here: bits, interactions"),
        ("base = {features = 1}", "known here: feature"),
    ],
)
def test_what_would_have_no_effect_is_refused(tmp_path, model, complaint):
    """One line that names the field and what is legal."""
    with pytest.raises(BadApplication, match=complaint):
        _loaded(tmp_path, model)


def test_every_option_can_be_set(tmp_path):
    """As `docs/settings.md` writes them."""
    model = _loaded(tmp_path, 'cb_type = "dr"\npower_t = 0\ninitial_t = 5\nshuffle = 100\nbase = {}')
    assert (model.cb_type, model.power_t, model.initial_t, model.shuffle) == ("dr", 0.0, 5.0, 100)
    assert model.base.feature == "base_score"
