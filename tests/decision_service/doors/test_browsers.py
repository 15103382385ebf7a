"""Pages of other origins: a browser runs OpenFeature's web SDK, evaluates and tracks, where it is let in."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

from decision_service.cross_origin import origins_of
from sidecar.contracts.errors import BadSettings
from tests.decision_service.doors import clients_js
from tests.decision_service.platform import Platform, platform
from tests.waiting import until

ASKED = {"origin": "", "access-control-request-method": "POST"}
WANTED = "authorization,content-type"
OPEN = [
    "/v1/recommendations", "/v1/recommendations/batch", "/v1/rewards", "/v1/rewards/batch", "/v1/events",
    "/v1/decisions/a%2Fb/activate", "/v1/track", "/v1/batch", "/ofrep/v1/evaluate/flags", "//v1/track",
]  # fmt: skip
SHUT = [
    "/v1/arms", "/v1/arms/a", "/v1/exploration", "/v1/models/x/promote", "/v1/decisions/1-a", "/metrics",
    "/personalizer/v1.0/rank", "/console/", "/v1/console/overview", "/v1/rewards/", "/v1/tracks", "/",
]  # fmt: skip


class Quiet(SimpleHTTPRequestHandler):
    """Files, and nothing on standard error."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def pages(folder: Path) -> Iterator[int]:
    """The files of ``folder`` on a port of their own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a page with a shop's scripts; it has two origins, by its address and by its name."""
    place = clients_js.installed()
    shutil.copy(clients_js.SOURCE / "page.html", place)
    with pages(place) as port:
        yield port


@pytest.fixture(scope="module")
def shop(port: int) -> Iterator[Platform]:
    origins = f"https://shop.example, http://127.0.0.1:{port}"
    with platform(environ={"SIDEARM_DECISION_SERVICE_CORS_ORIGINS": origins}) as made:
        yield made


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    chromium = shutil.which("chromium")
    if chromium is None:
        clients_js.lacks("chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.mark.slow
def test_a_page_gets_the_arm_and_tells_of_its_order(shop, port, page):
    """By OpenFeature's web SDK and its OFREP provider, over preflights, and by its `track`."""
    page.goto(f"http://127.0.0.1:{port}/page.html")
    page.wait_for_function("typeof window.visit == 'function'")
    source = clients_js.example("flags.md", "javascript", "class Sidearm")
    asks = "([url, key, source]) => visit(url, key, 'visitor-7', source)"
    shown = page.evaluate(asks, [shop.url, shop.key, source])
    assert (shown["value"], shown["reason"]) == (shown["variant"], "SPLIT")
    until(lambda: shop.decision(shown["flagMetadata"]["decision_id"])["rewards"], 20.0, "a reward")
    found = shop.decision(shown["flagMetadata"]["decision_id"])
    assert (found["arm"], found["session_id"], found["context"]) == (
        shown["variant"],
        "visitor-7",
        {"device": "ios"},
    )
    assert [one["event"] for one in found["rewards"]] == ["purchase"]


@pytest.mark.slow
def test_a_page_from_elsewhere_gets_nothing(shop, port, page):
    """The browser does not even send what it was about to; nor does it hand on what needs no preflight."""
    before = decided(shop)
    page.goto(f"http://localhost:{port}/page.html")
    page.wait_for_function("typeof window.asked == 'function'")
    body = '{"session_id": "elsewhere"}'
    with_key = {"method": "POST", "body": body, "headers": {"Authorization": f"Bearer {shop.key}"}}
    for options in (with_key, {"method": "POST", "body": body}):
        path = f"{shop.url}/v1/recommendations"
        assert page.evaluate("([url, options]) => asked(url, options)", [path, options]) == "TypeError"
    assert decided(shop) == before


def decided(shop: Platform) -> float:
    lines = shop.client.get("/metrics").text.splitlines()
    return sum(float(one.split()[-1]) for one in lines if one.startswith("sidearm_decisions_total"))


def asked(shop: Platform, path: str, origin: str, **more: str) -> dict[str, str]:
    """What a preflight is answered about other origins."""
    headers = {**ASKED, "origin": origin, "access-control-request-headers": WANTED, **more}
    response = httpx.request("OPTIONS", f"{shop.url}{path}", headers=headers)
    return {name: value for name, value in response.headers.items() if name.startswith("access-control")}


@pytest.mark.slow
@pytest.mark.parametrize("path", OPEN)
def test_what_a_page_has_use_for_is_open_to_pages_that_are_named(shop, path):
    """Without credentials; to others nothing is said."""
    assert asked(shop, path, "https://shop.example") == {
        "access-control-allow-origin": "https://shop.example",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": WANTED,
        "access-control-max-age": "7200",
    }
    for other in ("https://shop.example.evil", "http://shop.example", "null", "*", ""):
        assert asked(shop, path, other) == {}


@pytest.mark.slow
@pytest.mark.parametrize("path", SHUT)
def test_all_else_is_shut_to_every_page(shop, path):
    """Whoever asks: what reads or changes an application, and the console."""
    assert asked(shop, path, "https://shop.example") == {}
    response = shop.client.get(path, headers={"origin": "https://shop.example"})
    assert [name for name in response.headers if name.startswith("access-control")] == []


@pytest.mark.slow
def test_every_answer_to_such_a_page_says_so_refusals_too(shop):
    """Else a script could not read why it was refused; with what a client may look at."""
    origin = {"origin": "https://shop.example"}
    made = shop.client.post("/v1/recommendations", json={"session_id": "s"}, headers=origin)
    flags = shop.client.post(
        "/ofrep/v1/evaluate/flags", json={"context": {"targetingKey": "u"}}, headers=origin
    )
    wrong = shop.client.post("/v1/recommendations", content=b"{", headers=origin)
    nobody = httpx.post(f"{shop.url}/v1/rewards", headers=origin)
    method = shop.client.get("/v1/track", headers=origin)
    assert [one.status_code for one in (made, flags, wrong, nobody, method)] == [201, 200, 422, 401, 405]
    for response in (made, flags, wrong, nobody, method):
        headers = response.headers
        assert headers["access-control-allow-origin"] == "https://shop.example"
        assert headers["access-control-expose-headers"] == "etag, retry-after, x-request-id"
        assert headers["vary"] == "origin"
        assert "access-control-allow-credentials" not in headers
    other = shop.client.post(
        "/v1/recommendations", json={"session_id": "s"}, headers={"origin": "https://x.y"}
    )
    assert (other.status_code, "access-control-allow-origin" in other.headers) == (201, False)


@pytest.mark.slow
def test_names_that_are_none_are_not_repeated(shop):
    """A browser asks for names of headers; what is something else is not sent back."""
    for odd in ("x" * 2000, "a<b>", "a;b"):
        told = asked(shop, "/v1/track", "https://shop.example", **{"access-control-request-headers": odd})
        assert "access-control-allow-headers" not in told


@pytest.mark.parametrize(
    "said", ["*", "shop.example", "https://shop.example/", "https://Shop.example", "null"]
)
def test_what_no_browser_would_send_is_no_origin(said):
    with pytest.raises(BadSettings, match="cors_origins"):
        origins_of(f"https://ok.example,{said}")
    assert origins_of(" , ") == frozenset()
