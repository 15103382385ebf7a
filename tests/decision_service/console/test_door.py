"""The console's door over real HTTP: files, signing in, what a page from elsewhere is told, what lives."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from decision_service.auth import ApiKey, Keyring, make_key
from decision_service.console.files import POLICY
from decision_service.console.session import LASTS_MS, Sessions
from decision_service.errors import NotAuthenticated
from tests.decision_service.platform import Platform, platform

OURS = {"x-sidearm-console": "1"}


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform() as made:
        yield made


@pytest.fixture
def browser(shop) -> Iterator[httpx.Client]:
    """Without a key, with a jar of cookies."""
    with httpx.Client(base_url=shop.url, timeout=30.0) as client:
        yield client


def signed_in(browser: httpx.Client, shop: Platform) -> httpx.Response:
    return browser.post("/console/session", json={"key": shop.key}, headers=OURS)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html"),
        ("app.js", "text/javascript"),
        ("console.css", "text/css"),
        ("icon.svg", "image/svg"),
    ],
)
def test_files_are_open_to_everybody_under_a_policy_that_runs_nothing_else(browser, path, kind):
    """No key is asked for: they hold nothing; and a browser that has them is told so."""
    answer = browser.get(f"/console/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["content-security-policy"] == POLICY.decode()
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = browser.get(f"/console/{path}", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_address_without_a_slash_leads_there(browser):
    """Relative, so that it holds below another path too."""
    answer = browser.get("/console")
    assert (answer.status_code, answer.headers["location"]) == (308, "console/")


@pytest.mark.parametrize(
    "path",
    ["..%2Fsession.py", "../session.py", "static/app.js", "%2e%2e/door.py", "app.js/", "/etc/passwd", "lib"],
)
def test_no_path_leads_out(shop, path):
    """What is not on the list does not exist, however it is written."""
    with httpx.Client(base_url=shop.url) as client:
        raw = client.build_request("GET", shop.url + "/console/x")
        raw.url = raw.url.copy_with(raw_path=f"/console/{path}".encode())
        assert client.send(raw).status_code == 404


def test_a_key_is_exchanged_for_a_cookie_that_no_script_can_read(browser, shop):
    """And who has it may look, and is told who they are."""
    assert browser.get("/v1/console/overview").status_code == 401
    answer = signed_in(browser, shop)
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 200
    assert answer.json() == {
        "name": "development",
        "roles": ["decide", "reward", "read", "admin"],
        "application": "bench",
    }
    assert "HttpOnly; SameSite=Strict; Max-Age=" in cookie
    assert shop.key not in cookie
    assert "Secure" not in cookie
    assert browser.get("/v1/console/overview").status_code == 200
    assert browser.get("/console/session").json()["name"] == "development"


def test_behind_https_the_cookie_stays_there(browser, shop):
    """The browser says where the page came from."""
    secret = {**OURS, "origin": "https://sidearm.example"}
    answer = browser.post("/console/session", json={"key": shop.key}, headers=secret)
    assert answer.headers["set-cookie"].endswith("; Secure")


def test_signing_out_takes_the_cookie_away(browser, shop):
    """It has expired at once."""
    signed_in(browser, shop)
    assert browser.delete("/console/session", headers=OURS).status_code == 204
    assert browser.get("/console/session").json() is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"key": "sk_nobody"}', 401),
        (b'{"key": 7}', 422),
        (b"<html>", 422),
        (b'{"key":"' + b"k" * 5000, 413),
    ],
)
def test_who_has_no_key_is_not_let_in(browser, body, status):
    """With a problem document, as everywhere."""
    answer = browser.post("/console/session", content=body, headers=OURS)
    assert answer.status_code == status
    assert answer.json()["type"].startswith("urn:sidearm:problem:")
    assert "set-cookie" not in answer.headers


def test_a_page_from_elsewhere_changes_nothing(browser, shop):
    """A form of theirs would bring the cookie, were it not strict; it cannot bring the header."""
    assert browser.post("/console/session", json={"key": shop.key}).status_code == 403
    signed_in(browser, shop)
    theirs = {**OURS, "sec-fetch-site": "cross-site"}
    for headers in ({}, theirs, {"sec-fetch-site": "same-origin"}):
        refused = browser.post("/v1/models/nobody/promote", headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:sidearm:problem:NotAllowed")
    assert browser.get("/v1/console/overview", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert browser.post("/v1/models/nobody/promote", headers=OURS).status_code == 404


def test_a_session_is_for_the_whole_api(browser, shop):
    """With the roles of its key, and no more."""
    signed_in(browser, shop)
    assert browser.get("/v1/models").status_code == 200
    assert browser.get("/v1/models", headers={"authorization": "Bearer sk_wrong"}).status_code == 401


def test_a_session_that_was_made_up_is_none(browser, shop):
    """Whatever is changed of it."""
    signed_in(browser, shop)
    ((name, session),) = browser.cookies.items()
    session = session.strip('"')
    for forged in (session[:-2] + "xx", "A" + session[1:], "", ".", "é.é", session.partition(".")[0]):
        headers = {"cookie": f"{name}={forged}".encode()}
        with httpx.Client(base_url=shop.url) as other:
            assert other.get("/console/session", headers=headers).json() is None
            assert other.get("/v1/console/overview", headers=headers).status_code == 401


def test_what_lives_comes_as_events(browser, shop):
    """The page's data, again and again; nothing without a key, nothing of a page that there is not."""
    assert browser.get("/v1/console/live?page=overview").status_code == 401
    signed_in(browser, shop)
    assert browser.get("/v1/console/live?page=nothing").status_code == 404
    with browser.stream("GET", "/v1/console/live?page=overview") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = answer.iter_lines()
        seen = [next(line for line in lines if line.startswith("data: ")) for _ in range(2)]
    first, second = (json.loads(line.removeprefix("data: ")) for line in seen)
    assert first["application"] == second["application"] == "bench"
    assert second["at_ms"] > first["at_ms"]


def test_an_unknown_page_and_a_wrong_method_say_what_there_is(browser, shop):
    """With the names of those there are."""
    signed_in(browser, shop)
    missing = browser.get("/v1/console/nothing")
    assert (missing.status_code, "overview" in missing.json()["detail"]) == (404, True)
    assert browser.get("/v1/console/overview/deeper").status_code == 404
    assert browser.post("/v1/console/overview", headers=OURS).status_code == 405


def test_a_session_ends_by_itself_and_with_its_key():
    """Signed for twelve hours, by a secret that every replica has, for a key that is still there."""
    now_ms = [1_000]
    _, key = make_key("eyes", ("read",), lambda n: "ab" * n)
    sessions, replica = (Sessions(b"s" * 32, lambda: now_ms[0]) for _ in range(2))
    session, until_ms = sessions.begin(key.prefix, key.sha256)
    assert until_ms == 1_000 + LASTS_MS
    assert Keyring((key,), replica).authorise(f"Session {session}", "read") is key
    others: tuple[ApiKey, ...] = (make_key("eyes", ("read",), lambda n: "cd" * n)[1],)
    for keyring in (
        Keyring(others, replica),
        Keyring((key,), Sessions(b"t" * 32, lambda: 0)),
        Keyring((key,)),
    ):
        with pytest.raises(NotAuthenticated):
            keyring.authorise(f"Session {session}", "read")
    now_ms[0] = until_ms
    with pytest.raises(NotAuthenticated, match="sign in again"):
        Keyring((key,), replica).authorise(f"Session {session}", "read")
