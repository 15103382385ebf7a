"""Every page of the console when its server goes away. It is the last of its platform."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.console.shops import running
from tests.console.visits import PAGES, Console

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def doomed():
    with running(("service",)) as platform:
        yield platform


def test_pages_say_that_the_server_is_gone_and_stay(doomed, browser):
    """What was shown stays below a banner; whoever goes on to another page is told why it is empty."""
    with browser.new_context(viewport={"width": 1360, "height": 860}) as context:
        consoles = {}
        for name in PAGES:
            tab = context.new_page()
            tab.set_default_timeout(30_000)
            consoles[name] = Console(tab, doomed)
            consoles[name].away = True
            if name == PAGES[0]:
                consoles[name].sign_in()
            consoles[name].open(name)
        doomed.stop()
        for name, console in consoles.items():
            console.page.bring_to_front()
            shown = console.page.locator("main").inner_text()
            if name in ("decisions",):
                console.page.get_by_role("button", name="Search").click()
            expect(console.page.get_by_role("alert").first).to_contain_text("does not answer")
            assert shown.splitlines()[0] == name.capitalize()
            console.picture(f"gone-{name}")
        last = consoles["overview"]
        last.page.get_by_role("link", name="Graph", exact=True).click()
        expect(last.page.locator("main [role=alert]")).to_be_visible()
        last.picture("gone-next")
        said = [one for console in consoles.values() for one in console.troubles]
        assert [one for one in said if "401" not in one and "Failed to load resource" not in one] == []
