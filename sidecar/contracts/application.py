"""An application: the folder a user writes, read once at boot by every process.

The folder holds ``app.toml`` (this file describes it), the arms it names, and optionally ``features.py``.
Every section and field has a default but ``name`` and ``arms``: a standard application is four lines.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from sidecar.contracts.errors import BadApplication
from sidecar.contracts.legal import told
from sidecar.contracts.model_options import refused_option
from sidecar.contracts.promotion import PromotionConfig

FeatureValue = str | float | bool
"""What a feature may be. Strings and booleans are categories, numbers are magnitudes."""

Features = dict[str, FeatureValue]
"""Feature name to value; flat, always."""

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0)]
Temperature = Annotated[float, Meta(ge=1e-6, le=1e9)]
Gamma = Annotated[float, Meta(ge=0.0, le=1e9)]
ArmId = Annotated[str, Meta(min_length=1, max_length=256)]
EventName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
"""No bar: stored rewards are separated by them."""

Aggregation = Literal["sum", "earliest", "latest", "max", "min", "mean", "median"]
RewardMode = Literal["wait", "assume", "earliest"]


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


_FINITE = ("horizon_s", "longest_horizon_s", "default", "early_window_s", "tombstone_s", "minimum", "maximum")
_MOST_CORRECTIONS = 256


class RewardConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[reward]``: how events become one number, and how long a decision waits for them."""

    horizon_s: Positive = 1800.0
    """How long a decision waits for its rewards, in seconds of the store's clock."""
    longest_horizon_s: Positive = 2_419_200.0
    """The longest horizon that a request may choose for its decision; four weeks by default. Each pending
    decision takes memory in the store."""
    mode: RewardMode = "wait"
    """When a decision is learnt from. ``wait``: once, at its horizon. ``assume``: the default at once, then a
    correction for each reward; with ``cb_type = "mtr"`` only. ``earliest``: at its first reward, or at its
    horizon if there is none. The row in the log is written at the horizon in every mode. A decision keeps the
    mode that it was made in."""
    default: float = 0.0
    """The reward of a decision for which none came within the horizon."""
    aggregation: Aggregation = "sum"
    """How several rewards of one decision become one number."""
    events: dict[EventName, float] = msgspec.field(default_factory=lambda: {"purchase": 1.0})
    """Event name to its value; a reward request may override the value."""
    attribution: Literal["last", "all", "arm"] = "last"
    """Which of a session's decisions a reward by session reaches. ``last``: its last one; ``all``: each that
    still takes rewards, at most the latest 64; ``arm``: the last that showed the arm that the reward names.
    """
    early_window_s: Positive = 600.0
    """How long a reward waits for a decision that has not arrived yet."""
    tombstone_s: Positive = 86400.0
    """How long a finalised decision is remembered, so that repeats and late rewards are recognised."""
    max_per_decision: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Rewards that one decision takes; more are answered ``over_limit`` and counted."""
    minimum: float = -1e6
    """See ``maximum``."""
    maximum: float = 1e6
    """Rewards outside [minimum, maximum] are refused with 422."""

    def __post_init__(self) -> None:
        """Refuse what could only fail later.

        Raises:
            ValueError: a number that is not finite, an event outside the bounds, a horizon over the longest.
        """
        numbers = {name: getattr(self, name) for name in _FINITE} | {
            f"events.{n}": v for n, v in self.events.items()
        }
        if odd := [name for name, value in numbers.items() if not math.isfinite(value)]:
            raise ValueError(f"{odd[0]} is {numbers[odd[0]]}: a finite number is legal")
        if out := [n for n, value in self.events.items() if not self.minimum <= value <= self.maximum]:
            raise ValueError(
                f"event {out[0]!r} is worth {self.events[out[0]]:g}: legal are minimum to maximum, "
                f"{self.minimum:g} to {self.maximum:g}"
            )
        if self.horizon_s > self.longest_horizon_s:
            raise ValueError(
                f"horizon_s is {self.horizon_s:g}: at most longest_horizon_s, {self.longest_horizon_s:g}"
            )
        if self.mode == "assume" and self.max_per_decision > _MOST_CORRECTIONS:
            raise ValueError(
                f"max_per_decision is {self.max_per_decision}: with mode assume at most {_MOST_CORRECTIONS} "
                "are legal, since each reward's correction names all those before it"
            )


class BaseConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[model.base]``: a second model that changes rarely; its score of an arm is a feature of the arm.

    The section alone switches it on. `sidearm models base` says which model it is; until then nothing is
    added.
    """

    feature: Annotated[str, Meta(min_length=1, max_length=128)] = "base_score"
    """Name of the arm feature that holds its score. It covers any other of that name."""


_POWER_T = 0.5


class ModelConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[model]``: the linear model, in Vowpal Wabbit's terms.

    Context features live in namespace ``c``, arm features in namespace ``a``; every arm also has its id as
    a feature.
    """

    bits: Annotated[int, Meta(ge=8, le=24)] = 18
    """The weights are a table of 2^bits. More: fewer features share a weight, a longer record."""
    interactions: tuple[Literal["ca", "aa", "cc"], ...] = ("ca",)
    """Which namespaces are crossed. ``ca`` is what makes the choice depend on the context."""
    cb_type: Literal["mtr", "ips", "dm", "dr"] = "mtr"
    """How a logged reward becomes a training example: multi-task regression, inverse propensity, direct,
    doubly robust (which trains a second table, of costs, and takes twice the memory)."""
    optimizer: Literal["adaptive", "sgd", "ftrl", "coin"] = "adaptive"
    """``adaptive`` is VW's default (adaptive, normalised, invariant)."""
    learning_rate: Positive = 0.5
    """VW's ``--learning_rate``; ``ftrl``: its ``--ftrl_alpha``; ``coin`` has none."""
    power_t: Annotated[float, Meta(ge=0.0, le=1.0)] = _POWER_T
    """How fast the rate falls with what was learnt (``adaptive``, ``sgd``). 0: never; smaller follows a world
    that changes, larger settles. VW's ``--power_t``."""
    initial_t: Annotated[float, Meta(gt=0.0, le=1e9)] | None = None
    """As if so many examples had been learnt before the first (``adaptive``, ``sgd``): larger begins more
    slowly. None: VW's own, 0 for ``adaptive``, 1 for ``sgd``. VW's ``--initial_t``."""
    ftrl_beta: Annotated[float, Meta(gt=0.0, le=1e6)] | None = None
    """Steadies the first steps of ``ftrl`` and ``coin``. None: VW's own, 1. VW's ``--ftrl_beta``."""
    shuffle: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """0: examples are learnt in the order of the log. N: blocks of up to N of them, as many as have come,
    are learnt each in an order drawn from a hash, so that neighbours do not pull one way. More: better mixed,
    more memory. A change takes effect at the next start; what was learnt before is rebuilt as it was learnt.
    """
    max_pending: Annotated[int, Meta(ge=1)] = 1_000_000
    """Decisions waiting for their horizon, per partition, before new ones are shed from the log."""
    base: BaseConfig | None = None

    def __post_init__(self) -> None:
        """Refuse what would have no effect.

        Raises:
            ValueError: an option that the optimizer does not have.
        """
        if self.optimizer in ("ftrl", "coin") and (self.power_t != _POWER_T or self.initial_t is not None):
            raise ValueError(f"{self.optimizer} has no power_t and no initial_t: legal with adaptive and sgd")
        if self.optimizer in ("adaptive", "sgd") and self.ftrl_beta is not None:
            raise ValueError(f"{self.optimizer} has no ftrl_beta: legal with ftrl and coin")


FunctionName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]


class RulesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[rules]``: the application's own rules: plain functions of Python in a file of its folder."""

    file: str = "rules.py"
    """The file beside ``app.toml``. It is read only if a rule is named here."""
    answer: tuple[FunctionName, ...] = ()
    """Rules that answer at once what needs no model, in the order in which they are heard. Each gives an arm,
    or several in the order of preference, or None where it has no answer. Its parameters are names of cheap
    nodes of the feature graph, and of what the service knows of the request."""
    exclude: tuple[FunctionName, ...] = ()
    """Rules that say which arms must not be chosen: a mapping of arms to reasons, or a collection of arms."""
    segments: tuple[FunctionName, ...] = ()
    """Rules that a segment of the traffic may name: each gets the context as it is scored, a mapping, and
    says whether the decision belongs to it."""
    log_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    """Share of the decisions answered by a rule that is logged; each says with which probability it was. They
    teach nothing, so fewer of them cost less and lose no lesson."""

    def __post_init__(self) -> None:
        """Refuse a rule that would have to be two things.

        Raises:
            ValueError: a name stands twice.
        """
        names = (*self.answer, *self.exclude, *self.segments)
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"rule {twice!r} stands twice: legal is once, in answer, exclude or segments")


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
    decision_service: dict[str, Any] = {}
    """Settings of that process: see ``docs/settings.md``. The environment overrides them."""
    sidecar: dict[str, Any] = {}
    learner: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Refuse sections that do not go together.

        Raises:
            ValueError: a mode that the kind of training example cannot follow.
        """
        if self.reward.mode == "assume" and self.model.cb_type != "mtr":
            raise ValueError(
                f'reward.mode "assume" needs model.cb_type "mtr", not "{self.model.cb_type}": only such an '
                "example can be corrected"
            )
        if self.sessions.sticky_s > self.reward.tombstone_s:
            raise ValueError(
                f"sessions.sticky_s is {self.sessions.sticky_s:g}: legal is at most reward.tombstone_s, "
                f"{self.reward.tombstone_s:g}: a decision is not remembered for longer"
            )


class Catalogue(Struct, frozen=True):
    """The arms of one application at one moment; its version is a digest of its content.

    Two processes that hold the same arms thus agree on the version without talking to each other.
    """

    version: str
    arms: tuple[Arm, ...]

    def by_id(self) -> dict[str, Arm]:
        """Arm id to arm."""
        return {arm.id: arm for arm in self.arms}


def catalogue_of(arms: tuple[Arm, ...]) -> Catalogue:
    """Name the arms by their content.

    >>> catalogue_of((Arm("sku-1", {"price": 2.5}), Arm("sku-2"))).version
    'bd82e1e38bed3703'
    """
    return Catalogue(hashlib.sha256(encode_arms(arms)).hexdigest()[:16], arms)


def encode_arms(arms: tuple[Arm, ...]) -> bytes:
    """The arms as canonical JSON: what the version is a digest of, and what is stored under it."""
    return msgspec.json.encode([[arm.id, dict(sorted(arm.features.items()))] for arm in arms])


def decode_arms(data: bytes) -> tuple[Arm, ...]:
    """The arms from what :func:`encode_arms` wrote."""
    return msgspec.json.decode(data, type=tuple[Arm, ...])


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


def load_catalogue(folder: Path, application: Application) -> Catalogue:
    """Read the arms that the application names.

    Raises:
        BadApplication: no such file, no JSON, no arms, or an id that stands twice.
    """
    path = folder / application.arms
    try:
        listed = msgspec.json.decode(path.read_bytes(), type=list[_ArmInFile])
    except FileNotFoundError:
        raise BadApplication(f"{path} does not exist: `arms` in app.toml names the file of arms") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadApplication(f'{path}: {error}; an arm is {{"id": "…", "features": {{…}}}}') from error
    if not listed:
        raise BadApplication(f"{path} lists no arm: at least one is needed")
    ids = [arm.id for arm in listed]
    if twice := next((arm_id for arm_id in ids if ids.count(arm_id) > 1), None):
        raise BadApplication(f"{path} lists arm {twice!r} twice: ids must differ")
    return catalogue_of(tuple(Arm(arm.id, arm.features) for arm in listed))


_InFile = Annotated[float, Meta(ge=-1e9, le=1e9)]  # beyond it scoring refuses: of the whole catalogue


class _ArmInFile(Struct, frozen=True, forbid_unknown_fields=True):
    id: ArmId
    features: dict[str, str | _InFile | bool] = {}


T = TypeVar("T")


def checked(
    raw: dict[str, Any], wanted: type[T], where: str, error: type[Exception], *, strict: bool = True
) -> T:
    """``raw`` as a ``wanted``; what is unknown or illegal becomes one line that names field and legal values.

    Raises:
        error: with that line as its message.
    """
    try:
        return msgspec.convert(raw, wanted, strict=strict)
    except msgspec.ValidationError as problem:
        raise error(f"{where}: {told(str(problem), wanted)}") from problem
