"""An application: the folder a user writes, read once at boot by every process.

The folder holds ``app.toml`` (this file and those of its sections describe it), the arms it names, and
optionally ``features.py``. Every section and field has a default but ``name`` and ``arms``: a standard
application is four lines.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from sidecar.contracts.checking import checked
from sidecar.contracts.errors import BadApplication
from sidecar.contracts.flags_section import FlagConfig, FlagName
from sidecar.contracts.model_options import refused_option
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.promotion import PromotionConfig
from sidecar.contracts.ranges import Gamma, Name, Share, Temperature
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.rules_section import RulesConfig
from sidecar.contracts.track_section import TrackConfig, TrackName

FeatureValue = str | float | bool
"""What a feature may be. Strings and booleans are categories, numbers are magnitudes."""

Features = dict[str, FeatureValue]
"""Feature name to value; flat, always."""

ArmId = Annotated[str, Meta(min_length=1, max_length=256)]


class Arm(Struct, frozen=True, array_like=True):
    """One thing that can be recommended, with the features that it shares with others."""

    id: ArmId
    features: Features = {}


class Exploration(Struct, frozen=True, array_like=True):
    """How scores become probabilities. Logged with every decision: appended to, never reordered."""

    scheme: Literal["epsilon_greedy", "uniform", "logged", "softmax", "squarecb"] = "epsilon_greedy"
    """``logged`` marks imported decisions of which only the propensity is known."""
    epsilon: Share = 0.1
    """Share spread evenly over all eligible arms (``epsilon_greedy``)."""
    control_share: Share = 0.01
    """Share of traffic drawn uniformly on top: the honest baseline of every chart."""
    temperature: Temperature = 1.0
    """Difference of scores that makes an arm e times as likely as another (``softmax``)."""
    gamma: Gamma = 10.0
    """What a unit of score's distance to the best counts for (``squarecb``)."""
    floor: Share = 0.0
    """No eligible arm is less likely; where there are too many arms for that, all are alike."""


class ExplorationConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[exploration]``. Changed while everything runs by `sidearm explore`, which also has segments."""

    scheme: Literal["epsilon_greedy", "uniform", "softmax", "squarecb"] = "epsilon_greedy"
    """``epsilon_greedy``: the best arm, but for a share; ``softmax``: the better the likelier, by
    ``temperature``; ``squarecb``: the worse the rarer, by ``gamma``, so that arms that are nearly as good are
    tried most; ``uniform``: every eligible arm alike."""
    epsilon: Share = 0.1
    """Share spread evenly over all eligible arms (``epsilon_greedy``). Larger learns faster, earns less."""
    control_share: Share = 0.01
    """Share of traffic drawn uniformly on top: the honest baseline of every chart."""
    temperature: Temperature = 1.0
    """Difference of scores that makes an arm e times as likely as another (``softmax``). More tries more."""
    gamma: Gamma = 10.0
    """How rarely an arm is drawn for each unit of score that it lies below the best (``squarecb``). Larger
    explores less; it should grow about as the square root of the examples learnt."""
    floor: Share = 0.0
    """No eligible arm is less likely, whatever the scheme: 0.001 bounds every weight of an evaluation by
    1,000. Where there are too many arms for that, all are alike."""

    def as_logged(self) -> Exploration:
        """As it stands in events."""
        return Exploration(
            self.scheme, self.epsilon, self.control_share, self.temperature, self.gamma, self.floor
        )


_KEPT_S = 3600.0


class SessionConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[sessions]``: what a session keeps."""

    sticky_s: Annotated[float, Meta(ge=0.0, le=_KEPT_S)] = 0.0
    """For so many seconds a session that asks for the same again has the same decision: the same arms to
    choose from, whatever the context has become meanwhile. 0: every request is a decision of its own, but for
    those that repeat a ``decision_id``."""


class Application(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that makes one application, from its ``app.toml``."""

    name: Name
    """In every key, path and metric of the application. Another name is another application."""
    arms: str = "arms.json"
    """File beside ``app.toml``: a JSON list of ``{"id": …, "features": {…}}``."""
    features: str | None = None
    """File beside ``app.toml`` that defines ``graph``, the application's feature graph."""
    partitions: Annotated[int, Meta(ge=1, le=256)] = 4
    """Into how many parts sessions are hashed; decision ids carry theirs, so it never changes afterwards. Few
    on one machine, 64 in production."""
    reward: RewardConfig = RewardConfig()
    sessions: SessionConfig = SessionConfig()
    exploration: ExplorationConfig = ExplorationConfig()
    rules: RulesConfig = RulesConfig()
    model: ModelConfig = ModelConfig()
    promotion: PromotionConfig = PromotionConfig()
    flags: dict[FlagName, FlagConfig] = {}
    """Flags for clients of OpenFeature, beside the one that has the application's name and all its arms."""
    track: dict[TrackName, TrackConfig] = {}
    """Events of trackers and CloudEvents that are rewards, by the name that they have there."""
    decision_service: dict[str, Any] = {}
    """Settings of that process: see ``docs/settings.md``. The environment overrides them."""
    sidecar: dict[str, Any] = {}
    learner: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Refuse sections that do not go together.

        Raises:
            ValueError: a mode that the kind of training example cannot follow, an event that is none, …
        """
        if self.reward.mode == "assume" and self.model.cb_type != "mtr":
            raise ValueError(
                f'reward.mode "assume" needs model.cb_type "mtr", not "{self.model.cb_type}": only such an '
                "example can be corrected"
            )
        for name, one in self.track.items():
            if one.event not in self.reward.events:
                legal = ", ".join(sorted(self.reward.events))
                raise ValueError(f"track.{name}.event is {one.event!r}: legal, of [reward] events: {legal}")
        if self.sessions.sticky_s > self.reward.tombstone_s:
            raise ValueError(
                f"sessions.sticky_s is {self.sessions.sticky_s:g}: legal is at most reward.tombstone_s, "
                f"{self.reward.tombstone_s:g}: a decision is not remembered for longer"
            )


def load_application(folder: Path) -> Application:
    """Read and check ``app.toml`` in ``folder``.

    Raises:
        BadApplication: no such file, no TOML, an unknown or missing field, a value outside its range.
    """
    path = folder / "app.toml"
    try:
        raw = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise BadApplication(
            f"{folder} holds no app.toml: name a folder that does, such as examples/shop"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadApplication(f"{path} is not TOML: {error}") from error
    if refusal := refused_option(raw.get("model")):
        raise BadApplication(f"{path}: {refusal}")
    return checked(raw, Application, str(path), BadApplication)
