"""Every page of the console, as a person sees it: with data, without, in the dark, and without a server."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.console.shops import HOSTILE
from tests.console.visits import PAGES, Console

pytestmark = pytest.mark.slow
TITLES = {name: name.capitalize() for name in PAGES}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_with_data(console, name):
    """It shows itself without a complaint, in bright and dark, and nobody is kept out."""
    console.open(name)
    expect(console.page.get_by_role("heading", level=1)).to_have_text(TITLES[name])
    expect(console.page.locator("nav [aria-current=page]")).to_have_text(TITLES[name])
    for scheme in ("light", "dark"):
        console.theme(scheme)
        console.picture(f"data-{name}-{scheme}")
        assert console.barriers() == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_without_data(empty, name):
    """It says so, and what to do about it."""
    empty.open(name)
    expect(empty.page.get_by_role("heading", level=1)).to_have_text(TITLES[name])
    empty.picture(f"empty-{name}-light")
    assert empty.barriers() == []


def test_pages_fit_a_telephone(console):
    """Nothing is wider than the window."""
    console.page.set_viewport_size({"width": 390, "height": 800})
    for name in PAGES:
        console.open(name)
        wide = console.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{name} is {wide} px too wide"
    console.picture("telephone-graph")


def test_a_hostile_decision_is_text_and_nothing_else(console):
    """Its session, its context and its arms' names are shown as they were typed."""
    console.open("decisions")
    console.page.get_by_label("Session").fill(HOSTILE)
    console.page.get_by_role("button", name="Search").click()
    rows = console.page.locator("main tbody tr")
    expect(rows.first).to_contain_text(HOSTILE[:30])
    console.loaded()
    rows.first.get_by_role("link").click()
    expect(console.page.get_by_role("heading", level=1)).to_contain_text("Decision")
    expect(console.page.locator("main")).to_contain_text(HOSTILE)
    expect(console.page.get_by_text("draw: same")).to_be_visible()
    console.picture("decision-hostile")
    for path in ("arms", "overview", f"decisions/{HOSTILE}", f"evaluate/{HOSTILE}", HOSTILE):
        console.away = True  # a 404 is reported by Chromium
        console.page.goto(f"{console.platform.url}/console/#/{path}")
        console.loaded()
    console.troubles = [one for one in console.troubles if "404" not in one]


def test_one_decision_is_told_whole(console):
    """Its waterfall, its probabilities, its features with how they were had, and its replay."""
    console.open("decisions")
    console.page.get_by_label("Answered by").select_option("model")
    console.page.get_by_role("button", name="Search").click()
    console.loaded()
    console.page.locator("main tbody tr").nth(2).get_by_role("link").click()
    expect(console.page.get_by_text("scores: same")).to_be_visible()
    expect(console.page.locator(".waterfall").first).to_be_visible()
    for scheme in ("light", "dark"):
        console.theme(scheme)
        console.picture(f"data-decision-{scheme}")
        assert console.barriers() == []


def test_one_evaluation_has_its_forest(console):
    """Drawn without anything being compiled; the numbers are beside it."""
    console.open("evaluate")
    console.page.get_by_role("link", name="2026-03-04").click()
    expect(console.page.locator(".chart canvas")).to_be_visible()
    expect(console.page.get_by_text("read by the verdict").first).to_be_visible()
    for scheme in ("light", "dark"):
        console.theme(scheme)
        expect(console.page.locator(".chart canvas")).to_be_visible()
        console.picture(f"data-evaluation-{scheme}")
        assert console.barriers() == []


def test_an_evaluation_is_asked_for_on_the_page(console):
    """A candidate that is none is refused in words; one that is runs, and its answer is opened."""
    console.open("evaluate")
    console.away = True
    console.page.get_by_label("Others").fill("table:/etc/passwd")
    console.page.get_by_role("button", name="Evaluate", exact=True).click()
    expect(console.page.get_by_role("alert").filter(has_text="cannot be asked for here")).to_be_visible()
    console.troubles = [one for one in console.troubles if "422" not in one]
    console.page.get_by_label("Others").fill("")
    console.page.get_by_role("button", name="Evaluate", exact=True).click()
    run = console.page.locator("tr", has_text="uniform against")
    expect(run.get_by_text("done")).to_be_visible(timeout=240_000)
    run.get_by_role("link").click()
    expect(console.page.get_by_role("heading", level=1)).to_have_text(re.compile("Evaluation 20"))
    console.loaded()


def test_the_keyboard_is_enough(page, shop):
    """From the key to one decision without a mouse."""
    console = Console(page, shop)
    page.goto(f"{shop.url}/console/")
    expect(page.get_by_label("API key")).to_be_focused()
    console.picture("sign-in")
    assert console.barriers() == []
    page.keyboard.type(shop.key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    tab_to(page, page.get_by_role("link", name="Decisions", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Decisions")
    tab_to(page, page.get_by_label("Session"))
    page.keyboard.type("s-12")
    page.keyboard.press("Enter")
    expect(page.locator("main tbody tr").first).to_contain_text("s-12")
    console.loaded()
    tab_to(page, page.locator("main tbody tr a").first)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Decision ")
    assert [one for one in console.troubles if "401" not in one] == []


def tab_to(page, wanted) -> None:
    """Press Tab until it has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError("Tab does not lead there")


def test_a_session_that_has_ended_asks_to_sign_in_again(page, shop):
    """With the reason, and afterwards the page that was asked for is there."""
    console = Console(page, shop)
    console.sign_in()
    console.open("decisions")
    cookie = page.context.cookies()[0]
    page.context.add_cookies([{**cookie, "value": cookie["value"][:-3] + "abc"}])
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_label("API key")).to_be_visible()
    console.picture("session-ended")
    page.get_by_label("API key").fill("sk_of_nobody")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").filter(has_text="not known")).to_be_visible()
    page.get_by_label("API key").fill(shop.key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Decisions")
    assert [one for one in console.troubles if "401" not in one] == []
