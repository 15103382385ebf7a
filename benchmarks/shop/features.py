"""The shop's graph with its tables in the store, and one more: five fetches, four round trips at most.

Offers and merchants are the same for every shopper; sign-in, profile and campaign are not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from decision_service.feature_module import Surroundings
from decision_service.sources.rows import Key, Rows
from decision_service.sources.store import open_feature_store
from examples.shop import features as shop
from feature_graph import Graph, batch, branch, each, fetch, lookup

PATIENCE_S = 0.15


class Campaign(msgspec.Struct, frozen=True):
    """What is on for a kind of shopper."""

    name: str


class Given(shop.Given):
    """One table more."""

    campaigns: Rows[Campaign]


@batch(max=100, timeout=PATIENCE_S, fallback=None)
async def logins_of(unit_ids: Sequence[str], logins: Rows[shop.Login]) -> Mapping[Key, shop.Login | None]:
    """As the example's, and more patient: with every place taken, a round trip is the store's queue."""
    return {**dict.fromkeys(unit_ids), **await logins.many(unit_ids)}


@fetch(timeout=PATIENCE_S)
async def offers(candidates: tuple[str, ...], stockroom: Rows[shop.Offer]) -> dict[Key, shop.Offer]:
    """Likewise."""
    return await stockroom.many(candidates)


@batch(max=100, timeout=PATIENCE_S, fallback=None)
async def merchants(
    brands: Sequence[str], register: Rows[shop.Merchant]
) -> Mapping[Key, shop.Merchant | None]:
    """Likewise."""
    return {**dict.fromkeys(brands), **await register.many(brands)}


@batch(max=100, timeout=PATIENCE_S, fallback=shop.GUEST)
async def profiles_of(
    customer_ids: Sequence[str], customers: Rows[shop.Profile]
) -> Mapping[Key, shop.Profile]:
    """Likewise."""
    return await customers.many(customer_ids)


@batch(max=100, timeout=PATIENCE_S, fallback=Campaign("none"))
async def campaigns_of(segments: Sequence[str], campaigns: Rows[Campaign]) -> Mapping[Key, Campaign]:
    """The campaigns of segments."""
    return await campaigns.many(segments)


def campaign(campaign_of: Campaign) -> str:
    """Its name, as a feature."""
    return campaign_of.name


@asynccontextmanager
async def clients(around: Surroundings) -> AsyncIterator[dict[str, object]]:
    """The tables that ``benchmarks.serving_tables`` loads."""
    async with open_feature_store(around.feature_store_url, around.application) as tables:
        yield {
            "logins": tables.table("logins", shop.Login),
            "customers": tables.table("customers", shop.Profile),
            "stockroom": tables.table("stockroom", shop.Offer),
            "register": tables.table("register", shop.Merchant),
            "campaigns": tables.table("campaigns", Campaign),
        }


graph = Graph(
    Given,
    offers,
    shop.sold_out,
    shop.brands,
    shop.closed,
    shop.not_for_children,
    shop.is_guest,
    shop.customer_id,
    shop.guest,
    shop.segment,
    shop.budget,
    shop.hour_band,
    campaign,
    login=lookup(logins_of, key="unit_id"),
    customer=lookup(profiles_of, key="customer_id"),
    campaign_of=lookup(campaigns_of, key="segment"),
    sellers=each(lookup(merchants, key="brand"), over="brands"),
    profile=branch("is_guest", then="guest", otherwise="customer"),
    scarce=each(shop.is_scarce, over="arms"),
    in_budget=each(shop.fits_budget, over="arms"),
)
first_look = shop.first_look
goals = (*shop.goals, "campaign")
arm_goals = shop.arm_goals
