"""What a visitor does on the console, and what is noted meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from decision_service.cli.platform import Platform

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PAGES = ("overview", "models", "arms", "decisions", "evaluate", "graph")
_SERIOUS = ("serious", "critical")
_GONE = "net::ERR_CONNECTION_REFUSED"


class Console:
    """The console in one tab.

    Args:
        page: the tab.
        platform: whose console.
    """

    def __init__(self, page: Page, platform: Platform) -> None:
        self.page, self.platform = page, platform
        self.troubles: list[str] = []
        self.away = False
        """The server is meant to be gone: that a connection is refused is no trouble then."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("request", self._asked)
        page.on("dialog", lambda dialog: self.troubles.append(f"dialog: {dialog.message}"))

    def sign_in(self) -> None:
        """With the development key, by the form."""
        self.page.goto(f"{self.platform.url}/console/")
        self.page.get_by_label("API key").fill(self.platform.key)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("navigation")).to_be_visible()

    def open(self, path: str) -> None:
        """A page, such as ``decisions`` or ``decisions/<id>``, when its data is there."""
        self.page.goto(f"{self.platform.url}/console/#/{path}")
        self.loaded()

    def loaded(self) -> None:
        """Wait until nothing is being loaded."""
        expect(self.page.locator("main h1, main .empty-state").first).to_be_visible()
        expect(self.page.locator(".loading")).to_have_count(0)

    def theme(self, scheme: str) -> None:
        """As the visitor's system has it."""
        self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]

    def picture(self, name: str) -> None:
        """A screenshot for a person to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, animations="disabled")

    def barriers(self) -> list[str]:
        """What axe finds that keeps people out, with the elements."""
        found: Any = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:4]]}"
            for one in found
            if one["impact"] in _SERIOUS
        ]

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning") and not (self.away and _GONE in message.text):
            self.troubles.append(f"{message.type}: {message.text} ({message.location})")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.platform.url, "data:", "blob:")):
            self.troubles.append(f"asked elsewhere: {request.url}")


@contextmanager
def watched(page: Page, platform: Platform, keys: dict[str, list[Any]]) -> Iterator[Console]:
    """A console that is signed in; at the end there was no trouble, or the test fails."""
    console = Console(page, platform)
    if platform.url in keys:
        page.context.add_cookies(keys[platform.url])
    else:
        console.away = True  # that nobody is signed in yet is answered with 401, which Chromium reports
        console.sign_in()
        console.troubles.clear()
        console.away = False
        keys[platform.url] = page.context.cookies()
    yield console
    assert page.evaluate("window.pwned") is None
    assert console.troubles == []
