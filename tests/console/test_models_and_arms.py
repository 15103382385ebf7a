"""What is done on the pages Models, Arms and Graph: asked first, refused in words, and never markup."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import expect

from tests.console.shops import HOSTILE
from tests.waiting import until

pytestmark = pytest.mark.slow
REASON = "You can look and change nothing: your key has not the role admin."


@pytest.fixture
def bold(shop):
    """A challenger, gone again at the end."""
    with httpx.Client(base_url=shop.url, headers={"authorization": f"Bearer {shop.key}"}) as client:
        client.put("/v1/models/bold", json={"role": "challenger", "share": 0.2}).raise_for_status()
        yield client
        client.post("/v1/models/champion/promote")
        client.delete("/v1/models/bold")


def names(client):
    return {one["name"]: one for one in client.get("/v1/models").json()["models"]}


def test_a_model_is_promoted_and_rolled_back_after_a_dialog(console, bold):
    """Thinking better of it changes nothing; the dialog says what argues for the change; both ways."""
    console.open("models")
    promote = console.page.get_by_role("region", name="challenger bold").get_by_role("button", name="Promote")
    promote.click()
    dialog = console.page.get_by_role("dialog")
    expect(dialog).to_contain_text("bold becomes the champion at once")
    expect(dialog).to_contain_text("against the champion")
    console.picture("dialog-promote")
    assert console.barriers() == []
    console.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert names(bold)["bold"]["role"] == "challenger"
    promote.click()
    dialog.get_by_role("button", name="Promote").click()
    champion = console.page.get_by_role("region", name="champion bold")
    expect(champion).to_be_visible()
    champion.get_by_role("button", name="Roll back").click()
    dialog.get_by_role("button", name="Roll back").click()
    expect(console.page.get_by_role("region", name="champion champion")).to_be_visible()
    assert names(bold)["champion"]["role"] == "champion"


def test_a_share_is_changed_and_a_model_deployed_and_undeployed(console, bold):
    """What the service refuses stays in the dialog, with the reason."""
    console.open("models")
    card = console.page.get_by_role("region", name="challenger bold")
    dialog = console.page.get_by_role("dialog")
    card.get_by_role("button", name="Share").click()
    dialog.get_by_label("Share").fill("12.5")
    console.page.keyboard.press("Enter")
    expect(card).to_contain_text("12.5 %")
    console.page.get_by_role("button", name="Deploy …", exact=True).click()
    dialog.get_by_label("Name").fill(HOSTILE)
    dialog.get_by_role("button", name="Deploy").click()
    expect(dialog.get_by_role("alert")).to_contain_text("legal is")
    console.troubles = [one for one in console.troubles if "422" not in one]
    dialog.get_by_label("Name").fill("quiet")
    dialog.get_by_role("button", name="Deploy").click()
    quiet = console.page.get_by_role("region", name="shadow quiet")
    expect(quiet).to_be_visible()
    quiet.get_by_role("button", name="Undeploy").click()
    dialog.get_by_role("button", name="Undeploy").click()
    expect(quiet).to_have_count(0)
    assert names(bold).keys() == {"champion", "bold"}


def test_who_may_only_look_is_told_so(console, bold):
    """The buttons are there, and say why they do nothing."""
    who = {"name": "eyes", "roles": ["read"], "application": "shop"}
    console.page.route("**/console/session", lambda route: route.fulfill(json=who))
    console.open("models")
    buttons = console.page.get_by_role("region", name="challenger bold").get_by_role("button")
    expect(buttons).to_have_count(3)
    for button in buttons.all():
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description(REASON)
    console.picture("models-read-only")
    assert console.barriers() == []


def test_arms_are_found_sorted_and_told_as_they_are_called(console, shop):
    """A hostile arm is in the table as it was typed, and may be searched for."""
    with httpx.Client(base_url=shop.url, headers={"authorization": f"Bearer {shop.key}"}) as client:
        hostile = {HOSTILE, "hostile, too", "and another"}
        until(lambda: not hostile.isdisjoint(_arms(client)), 60.0)
    console.open("arms")
    rows = console.page.locator("table").first.locator("tbody tr")
    everything = rows.count()
    console.page.get_by_label("Find an arm").fill("coats")
    expect(rows.first).to_contain_text("coats")
    assert 0 < rows.count() < everything
    expect(console.page.get_by_label("Find an arm")).to_be_focused()
    console.page.get_by_label("Find an arm").fill("<img no such arm")
    expect(console.page.locator("main")).to_contain_text("No arm of that name was shown.")
    console.page.get_by_label("Find an arm").fill("")
    console.page.get_by_label("Sort by").select_option("name")
    expect(rows.last).to_contain_text("toys")
    console.page.get_by_label("Of the last").select_option("30d")
    expect(console.page.get_by_role("heading", level=1)).to_have_text("Arms")


def _arms(client):
    return [one["arm"] for one in client.get("/v1/console/arms?window=24h").json()["arms"]]


def test_a_node_of_the_graph_is_chosen_by_the_keyboard(console):
    """All that is known of it, and what it needs can be gone to; drawn again it is still in hand."""
    console.open("graph")
    node = console.page.get_by_role("button", name="customer, lookup")
    node.focus()
    console.page.keyboard.press("Enter")
    expect(console.page.get_by_role("heading", name="customer", exact=True)).to_be_visible()
    expect(node).to_be_focused()
    expect(console.page.get_by_text("With all before it")).to_be_visible()
    console.picture("graph-chosen")
    assert console.barriers() == []
    console.page.locator(".facts").get_by_role("button", name="customer_id").click()
    expect(console.page.get_by_role("heading", name="customer_id", exact=True)).to_be_visible()
