"""Shoppers with known preferences: who comes, what each would buy, and when the purchase is heard of.

Everything follows from one seed and the number of the session; no clock is read. What is true of the shop
(:func:`expected_reward`, :func:`best_value`, :func:`uniform_value`) is exact, by enumeration of all contexts;
when tastes change (:func:`swapped`), it is so too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from examples.shop import preferences as likes
from sidecar.contracts.application import Arm, Features, load_application
from sidecar.contracts.catalogue import load_catalogue

FOLDER = Path(__file__).parent
HORIZON_S = 2.0
"""As in ``app.toml``: what is heard of later is lost to the learner."""
LATE_SHARE = 0.03
"""Share of the purchases that are heard of only after the horizon."""
MEAN_DELAY_S = 0.35
LONGEST_DELAY_S = 1.5
"""Purchases in time: exponential with that mean, cut there (well inside the horizon, so that none is late by
the time that HTTP takes)."""
LATE_DELAY_S = (2.5, 4.0)
"""Late purchases: uniform between those."""
REPEATED_SHARE = 0.1
"""Share of the purchases that are sent twice, with the same reward id, as a client that retries does."""
BY_SESSION_SHARE = 0.1
"""Share of the purchases that name the session in place of the decision."""
BANDS = ("night", "morning", "afternoon", "evening")
"""Six hours each, from midnight."""


class Profile(msgspec.Struct, frozen=True):
    """What the world needs to know of a customer."""

    segment: str
    budget: float


class _Login(msgspec.Struct, frozen=True):
    customer: str
    child: bool = False


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shopper:
    """All that the purchase depends on; what the policy may see of it are its context features."""

    segment: str
    hour: int
    device: str
    returning: bool


@dataclass(frozen=True, slots=True)
class Session:
    """One visit, with its luck already drawn: the same product always has the same outcome in it."""

    number: int
    session_id: str
    unit_id: str
    shopper: Shopper
    luck: float
    """Uniform in [0, 1): the shopper buys what has a purchase probability above it."""
    delay_s: float
    """From the recommendation to the news of a purchase."""
    repeat_after_s: float | None
    """When the news is sent a second time, after the first."""
    by_session: bool

    @property
    def context(self) -> Features:
        """What the shop's front end sends; segment and band are the feature graph's to find out."""
        shopper = self.shopper
        return {"device": shopper.device, "hour": shopper.hour, "returning": shopper.returning}


def load_profiles(folder: Path = FOLDER) -> dict[str, Profile]:
    """Those who come, but for guests: unit id to what is known of them. Children come by hand only."""
    logins = msgspec.json.decode((folder / "logins.json").read_bytes(), type=dict[str, _Login])
    customers = msgspec.json.decode((folder / "customers.json").read_bytes(), type=dict[str, Profile])
    return {unit: customers[login.customer] for unit, login in logins.items() if not login.child}


def load_arms(folder: Path = FOLDER) -> tuple[Arm, ...]:
    """The shop's products."""
    return load_catalogue(folder, load_application(folder)).arms


def sessions(
    seed: int, first: int, count: int, profiles: dict[str, Profile] | None = None
) -> Iterator[Session]:
    """Sessions ``first`` to ``first + count`` of the world with that seed."""
    known = profiles if profiles is not None else load_profiles()
    units = sorted(known)
    for number in range(first, first + count):
        yield _session(seed, number, units, known)


def _session(seed: int, number: int, units: Sequence[str], known: dict[str, Profile]) -> Session:
    rng = random.Random(f"shop {seed} {number}")
    guest = rng.random() < likes.GUESTS
    unit = f"guest-{seed}-{number}" if guest else rng.choice(units)
    shopper = Shopper(
        segment="guest" if guest else known[unit].segment,
        hour=_one_of(rng, dict(enumerate(likes.HOURS))),
        device=_one_of(rng, likes.DEVICES),
        returning=_one_of(rng, likes.RETURNING),
    )
    return Session(
        number=number,
        session_id=f"s-{seed}-{number}",
        unit_id=unit,
        shopper=shopper,
        luck=rng.random(),
        delay_s=_delay_s(rng),
        repeat_after_s=rng.uniform(0.05, 0.4) if rng.random() < REPEATED_SHARE else None,
        by_session=rng.random() < BY_SESSION_SHARE,
    )


def _one_of(rng: random.Random, shares: dict[T, float]) -> T:
    return rng.choices(list(shares), list(shares.values()))[0]


def _delay_s(rng: random.Random) -> float:
    if rng.random() < LATE_SHARE:
        return rng.uniform(*LATE_DELAY_S)
    return -MEAN_DELAY_S * math.log(1.0 - rng.random() * (1.0 - math.exp(-LONGEST_DELAY_S / MEAN_DELAY_S)))


def expected_reward(shopper: Shopper, arm: Arm) -> float:
    """The truth: the probability that this shopper buys this product when it is shown.

    Late purchases count: they lower what is *heard* by the same share for every product.

    >>> from examples.shop.simulator import Shopper, expected_reward, load_arms
    >>> shoes = load_arms()[0]
    >>> round(expected_reward(Shopper("student", 20, "android", False), shoes), 3)
    0.31
    """
    product = arm.features
    category, band = str(product["category"]), BANDS[shopper.hour // 6]
    log_odds = (
        likes.BASE
        + likes.SEGMENT_CATEGORY[shopper.segment][category]
        + likes.HOUR_CATEGORY[band][category]
        + likes.DEVICE_PRICE[shopper.device][str(product["price_band"])]
        + likes.RETURNING_BRAND[shopper.returning][str(product["brand"])]
        + likes.RETURNING_NEW_IN[shopper.returning][bool(product["new_in"])]
    )
    return 1.0 / (1.0 + math.exp(-log_odds))


def buys(session: Session, arm: Arm) -> bool:
    """Whether the session ends with a purchase when this product is shown."""
    return session.luck < expected_reward(session.shopper, arm)


def shoppers(profiles: dict[str, Profile] | None = None) -> list[tuple[Shopper, float]]:
    """Every shopper that can come, with the share of the sessions; the shares sum to one."""
    known = profiles if profiles is not None else load_profiles()
    found = [profile.segment for profile in known.values()]
    segments = {name: (1.0 - likes.GUESTS) * found.count(name) / len(found) for name in sorted(set(found))}
    return [
        (Shopper(segment, hour, device, returning), of_segment * of_hour * of_device * of_returning)
        for segment, of_segment in {**segments, "guest": likes.GUESTS}.items()
        for hour, of_hour in enumerate(likes.HOURS)
        for device, of_device in likes.DEVICES.items()
        for returning, of_returning in likes.RETURNING.items()
    ]


Pmf = Callable[[Shopper], Sequence[float]]
"""A policy: the probability of each product, in the order of the catalogue."""

Tastes = Callable[[Shopper], Shopper]
"""A world: as whom a shopper buys. The policy sees the shopper, the purchase depends on the answer."""


def own_tastes(shopper: Shopper) -> Shopper:
    """The world as ``preferences.py`` has it."""
    return shopper


def swapped(first: str, second: str) -> Tastes:
    """A world in which two segments have each other's tastes.

    >>> swapped("student", "retired")(Shopper("student", 20, "ios", False)).segment
    'retired'
    """
    other = {first: second, second: first}
    return lambda shopper: replace(shopper, segment=other.get(shopper.segment, shopper.segment))


def policy_value(pmf: Pmf, arms: Sequence[Arm], tastes: Tastes = own_tastes) -> float:
    """Purchases a session that a policy earns in the long run, exactly."""

    def earned(shopper: Shopper) -> float:
        buys_as, shown = tastes(shopper), zip(pmf(shopper), arms, strict=True)
        return sum(p * expected_reward(buys_as, arm) for p, arm in shown if p)

    return math.fsum(share * earned(shopper) for shopper, share in shoppers())


def uniform_value(arms: Sequence[Arm], tastes: Tastes = own_tastes) -> float:
    """What showing everything to everyone equally often earns."""
    return policy_value(lambda _: [1.0 / len(arms)] * len(arms), arms, tastes)


def best_value(arms: Sequence[Arm], tastes: Tastes = own_tastes) -> float:
    """What the best product for each shopper earns: no policy earns more."""
    chances = ((share, tastes(shopper)) for shopper, share in shoppers())
    return math.fsum(share * max(expected_reward(who, arm) for arm in arms) for share, who in chances)


def best_single_value(arms: Sequence[Arm]) -> float:
    """What the one product earns that is best when the context is ignored."""
    return max(math.fsum(share * expected_reward(who, arm) for who, share in shoppers()) for arm in arms)
