"""A real browser on a real platform: one with data, and one that has seen nothing, each started once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from decision_service.cli.platform import Platform
from tests.console.shops import nights, running, sell
from tests.console.visits import Console, watched
from tests.waiting import until

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. It is absent on some laptops, and nowhere where CI is set."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        reason = f"needs a browser on PATH: {', '.join(BROWSERS)} (apt-get install chromium)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def shop() -> Iterator[Platform]:
    """The example's shop after some hundred decisions, with purchases, a challenger and four nights."""
    with running(("sidecar", "learner", "service")) as platform:
        nights(platform)
        with httpx.Client(
            base_url=platform.url, headers={"authorization": f"Bearer {platform.key}"}, timeout=60.0
        ) as client:
            sell(client)
            until(lambda: client.get("/v1/models").json()["models"][0]["version"], 60.0)
            sell(client)
        yield platform


@pytest.fixture(scope="package")
def bare() -> Iterator[Platform]:
    """The same platform, of which nobody has asked anything."""
    with running(("sidecar", "service")) as platform:
        yield platform


@pytest.fixture(scope="package")
def keys() -> dict[str, list]:
    """Platform to the cookies of who is signed in there."""
    return {}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of its own that notes whatever a person would be troubled by, and fails over it."""
    with browser.new_context(viewport={"width": 1360, "height": 860}, locale="en-GB") as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        yield page


@pytest.fixture
def console(page: Page, shop: Platform, keys: dict[str, list]) -> Iterator[Console]:
    """The console of the shop, signed in."""
    with watched(page, shop, keys) as found:
        yield found


@pytest.fixture
def empty(page: Page, bare: Platform, keys: dict[str, list]) -> Iterator[Console]:
    """The console of a platform without data, signed in."""
    with watched(page, bare, keys) as found:
        yield found
