"""The logs that the notebooks read: made once under ``build/notebooks``, from nothing but the clone.

The shop's is drawn from its simulator, in which the value of every policy is known; the logger shows the
product that sells best on a device, but for three decisions in ten. The fashion log is Random's of the small
Open Bandit Dataset, real impressions with real clicks; ``examples.fashion.dataset`` fetches it.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from examples.fashion import dataset
from examples.fashion.bts import POSITIONS, action_table, prior
from examples.shop.simulator import (
    Session,
    Shopper,
    buys,
    expected_reward,
    policy_value,
    sessions,
    shoppers,
)
from examples.shop.simulator import load_arms as _load_arms
from offline_eval.interchange.log_writer import Decision, LogWriter
from offline_eval.interchange.open_bandit import import_open_bandit
from sidecar.contracts.application import Arm

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "notebooks"
"""Ignored by git."""
SESSIONS = 20_000
EPSILON = 0.3
START = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
_DAYS = 14
_SEED = 7
_CHUNK = 5_000
_BTS_DRAWS = 50_000

Floats = npt.NDArray[np.float64]
Table = Mapping[str, Mapping[str, float]]


def shop_log(folder: Path = FOLDER / "log" / "shop") -> Path:
    """The shop's log: two weeks, made if it is not there."""
    if not (folder / "done").exists():
        writer, arms = LogWriter(folder), tuple(arm.id for arm in load_arms())
        best = best_by("device")
        for first in range(0, SESSIONS, _CHUNK):
            found = sessions(_SEED, first, _CHUNK)
            writer.write([_decision(one, arms, best[one.shopper.device]) for one in found])
        (folder / "done").touch()
    return folder


def fashion_log(folder: Path = FOLDER / "log" / "fashion") -> Path:
    """Random's impressions of the men's campaign, made if they are not there.

    Raises:
        DatasetError: the data set cannot be had.
    """
    if not (folder / "done").exists():
        import_open_bandit(dataset.write_csv("random", "men", FOLDER), folder)
        (folder / "done").touch()
    return folder


def bts_table() -> Table:
    """The probabilities of the shop's own Thompson sampling, by position.

    Raises:
        DatasetError: the data set cannot be had.
    """
    alpha, beta = prior("men")
    shares = action_table(alpha, beta, np.random.default_rng(1), _BTS_DRAWS)
    return {
        str(slot): {str(item): float(p) for item, p in enumerate(shares[:, slot])}
        for slot in range(POSITIONS)
    }


def bts_earned() -> float:
    """What it earned on its own traffic: the truth, but for the noise of its 10,000 impressions."""
    return float(dataset.read("bts", "men")["click"].to_numpy().mean())


@cache
def load_arms() -> tuple[Arm, ...]:
    """The shop's products."""
    return _load_arms()


def best_by(feature: str) -> dict[str, str]:
    """Value of a feature of shoppers to the product that sells best there, as the simulator knows."""
    arms, worth = load_arms(), dict[str, Floats]()
    for who, share in shoppers():
        row = share * np.array([expected_reward(who, arm) for arm in arms])
        value = str(getattr(who, feature))
        worth[value] = worth.get(value, 0.0) + row
    return {value: arms[int(found.argmax())].id for value, found in worth.items()}


def mixed(best: Mapping[str, str], epsilon: float) -> Table:
    """The best product of each value, but for a share that all products get evenly: a table."""
    arms = [arm.id for arm in load_arms()]
    return {
        value: {arm: epsilon / len(arms) + (1 - epsilon) * (arm == shown) for arm in arms}
        for value, shown in best.items()
    }


def worth_of(table: Table, feature: str) -> float:
    """The true mean reward of such a table."""
    arms = load_arms()

    def pmf(who: Shopper) -> list[float]:
        found = table[str(getattr(who, feature))]
        return [found.get(arm.id, 0.0) for arm in arms]

    return policy_value(pmf, arms)


def write_table(table: Table, by: str, name: str) -> Path:
    """As a file that ``sidearm evaluate --candidate table:<file>`` reads."""
    path = FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": name, "by": by, "probabilities": table}))
    return path


def world() -> tuple[Floats, Floats, list[Shopper]]:
    """Shares of the shoppers, and (shoppers, products) what each buys: for drawing many logs at a time."""
    found, arms = shoppers(), load_arms()
    rewards = np.array([[expected_reward(who, arm) for arm in arms] for who, _ in found])
    return np.array([share for _, share in found]), rewards, [who for who, _ in found]


def _decision(one: Session, arms: tuple[str, ...], best: str) -> Decision:
    pmf = [EPSILON / len(arms) + (1 - EPSILON) * (arm == best) for arm in arms]
    draw = random.Random(f"shown {one.number}")
    arm = draw.choices(arms, pmf)[0]
    at = START + dt.timedelta(days=_DAYS * one.number / SESSIONS)
    place = arms.index(arm)
    bought = buys(one, load_arms()[place])
    who = one.shopper
    return Decision(
        decision_id=one.session_id, unit_id=one.unit_id, at=at, policy="by-device", model_version=1, arm=arm,
        arms=arms, pmf=tuple(pmf), propensity=pmf[place], reward=float(bought),
        context={**one.context, "segment": who.segment, "hour": float(who.hour)},
    )  # fmt: skip
