"""The shop's features: who the shopper is, which products may be shown, and what is so of each just now.

The sign-in names a customer, who has a profile (a key is fetched to fetch a value with it); one whom nobody
knows is a guest, and nothing more is fetched. The merchants of the products are looked up in one call. What
is sold out, closed, or nothing for children, is taken out before anything dear is fetched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict, TypeVar

import msgspec

from decision_service.sources.constant import Fixed
from decision_service.sources.rows import Key, Rows
from feature_graph import Graph, batch, branch, each, fetch, lookup

BANDS = ("night", "morning", "afternoon", "evening")
SCARCE_BELOW = 5
"""Pieces in stock."""
NOT_FOR_CHILDREN = "garden"
FOLDER = Path(__file__).parent

T = TypeVar("T")
Known = Mapping[str, Mapping[str, str | float | bool]]
"""Product to what the catalogue and the request say of it."""


class Login(msgspec.Struct, frozen=True):
    """Who signed in."""

    customer: str
    child: bool = False
    """The account of somebody under age."""


class Profile(msgspec.Struct, frozen=True):
    """What is known of a customer."""

    segment: str
    budget: float | None = None
    """What they like to spend on one thing, in euros."""


class Offer(msgspec.Struct, frozen=True):
    """What is so of a product just now."""

    price: float
    stock: int


class Merchant(msgspec.Struct, frozen=True):
    """Who sells a brand."""

    name: str
    closed: bool = False


GUEST = Profile("guest")


class Given(TypedDict):
    """What the service hands in: parts of the request, its arms, and the tables that ``clients`` opens."""

    unit_id: str
    hour: float | None
    candidates: tuple[str, ...]
    arms: tuple[str, ...]
    arm_features: Known
    logins: Rows[Login]
    customers: Rows[Profile]
    stockroom: Rows[Offer]
    register: Rows[Merchant]


@batch(max=100, timeout=0.02, fallback=None)
async def logins_of(unit_ids: Sequence[str], logins: Rows[Login]) -> Mapping[Key, Login | None]:
    """Who these are; None: nobody whom the shop knows. Shoppers who come together are looked up together."""
    return {**dict.fromkeys(unit_ids), **await logins.many(unit_ids)}


@fetch(timeout=0.02)
async def offers(candidates: tuple[str, ...], stockroom: Rows[Offer]) -> dict[Key, Offer]:
    """Price and stock of products; one that the stockroom does not know has none."""
    return await stockroom.many(candidates)


def sold_out(offers: dict[Key, Offer]) -> dict[Key, str]:
    """First look: products of which none is left."""
    return {arm: "sold out" for arm, offer in offers.items() if offer.stock == 0}


def brands(candidates: tuple[str, ...], arm_features: Known) -> list[str]:
    """The brands of the products, each once."""
    found = {arm_features[arm].get("brand") for arm in candidates}
    return sorted(brand for brand in found if isinstance(brand, str))


@batch(max=100, timeout=0.02, fallback=None)
async def merchants(brands: Sequence[str], register: Rows[Merchant]) -> Mapping[Key, Merchant | None]:
    """Who sells these brands; None: nobody is registered, and it is sold on trust."""
    return {**dict.fromkeys(brands), **await register.many(brands)}


def closed(
    candidates: tuple[str, ...],
    arm_features: Known,
    brands: list[str],
    sellers: list[Merchant | None],
) -> dict[str, str]:
    """First look: products of merchants who are closed just now."""
    shut = {brand: one.name for brand, one in zip(brands, sellers, strict=True) if one and one.closed}
    if not shut:
        return {}
    sold_by = {arm: shut.get(str(arm_features[arm].get("brand"))) for arm in candidates}
    return {arm: f"{name} is closed" for arm, name in sold_by.items() if name}


def not_for_children(
    login: Login | None,
    candidates: tuple[str, ...],
    arm_features: Known,
) -> dict[str, str]:
    """First look: products that a child is not shown."""
    if login is None or not login.child:
        return {}
    barred = [arm for arm in candidates if arm_features[arm].get("category") == NOT_FOR_CHILDREN]
    return dict.fromkeys(barred, "not for children")


def is_guest(login: Login | None) -> bool:
    """Whether there is nothing more to know of the shopper."""
    return login is None


def customer_id(login: Login | None) -> str:
    """The key of the profile. Of customers only: the graph asks for it behind ``is_guest``."""
    assert login is not None
    return login.customer


@batch(max=100, timeout=0.02, fallback=GUEST)
async def profiles_of(customer_ids: Sequence[str], customers: Rows[Profile]) -> Mapping[Key, Profile]:
    """What is known of customers; if that cannot be had in time, they are treated as guests."""
    return await customers.many(customer_ids)


def guest() -> Profile:
    """What is known of a guest."""
    return GUEST


def segment(profile: Profile) -> str:
    """Which kind of shopper."""
    return profile.segment


def budget(profile: Profile) -> float | None:
    """What they like to spend, if that is known."""
    return profile.budget


def hour_band(hour: float | None) -> str | None:
    """Six hours each, from midnight; none where the request tells no hour of the day."""
    if isinstance(hour, bool) or not isinstance(hour, int | float) or not 0 <= hour < 24:
        return None
    return BANDS[int(hour) // 6]


def is_scarce(arm: str, offers: dict[Key, Offer]) -> bool | None:
    """Whether a product will soon be gone."""
    return offers[arm].stock < SCARCE_BELOW if arm in offers else None


def fits_budget(arm: str, offers: dict[Key, Offer], budget: float | None) -> bool | None:
    """Whether a product costs no more than the shopper likes to spend."""
    return offers[arm].price <= budget if arm in offers and budget is not None else None


@asynccontextmanager
async def clients() -> AsyncIterator[dict[str, object]]:
    """The tables, read once. A real shop opens ``decision_service.sources.http`` or ``.store`` here."""
    yield {
        "logins": read_table("logins.json", Login),
        "customers": read_table("customers.json", Profile),
        "stockroom": read_table("offers.json", Offer),
        "register": read_table("merchants.json", Merchant),
    }


def read_table(name: str, kind: type[T]) -> Fixed[T]:
    """A table of the shop's folder."""
    return Fixed(read_rows(name, kind))


def read_rows(name: str, kind: type[T]) -> dict[str, T]:
    """Its rows by key."""
    return msgspec.json.decode((FOLDER / name).read_bytes(), type=dict[str, kind])  # type: ignore[valid-type]


graph = Graph(
    Given,
    offers,
    sold_out,
    brands,
    closed,
    not_for_children,
    is_guest,
    customer_id,
    guest,
    segment,
    budget,
    hour_band,
    login=lookup(logins_of, key="unit_id"),
    customer=lookup(profiles_of, key="customer_id"),
    sellers=each(lookup(merchants, key="brand"), over="brands"),
    profile=branch("is_guest", then="guest", otherwise="customer"),
    scarce=each(is_scarce, over="arms"),
    in_budget=each(fits_budget, over="arms"),
)
first_look = ("sold_out", "closed", "not_for_children")
goals = ("segment", "hour_band")
arm_goals = ("scarce", "in_budget")
