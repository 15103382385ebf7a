"""A sidecar that talks rubbish or nothing, too many requests, and the end of the service."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from sidecar.contracts.wire import ScoredRow, ScoreResponse, encode
from tests.decision_service.platform import Platform, platform
from tests.waiting import until


@contextmanager
def false_sidecar(shop: Platform, reply: bytes) -> Iterator[None]:
    """Listens where the sidecar does, and gives every request the same bytes; none if there are none."""
    path = str(shop.data.sidecar_socket("bench"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                    if reply:
                        held[-1].recv(1 << 20)
                        held[-1].sendall(reply)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()
            os.unlink(path)


def http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def scores(content: bytes) -> bytes:
    return http(encode(ScoreResponse((ScoredRow(content, b""),), 1, cold=False)))


RUBBISH = {
    "noise": bytes(range(256)) * 100,
    "no msgpack": http(b"\xc1" * 64),
    "too few scores": scores(b"\0" * 4),
    "half a score": scores(b"\0" * 15),
    "not a number": scores(b"\0\0\xc0\x7f" * 4),
    "an error": b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
}


def test_rubbish_from_the_sidecar_is_answered_by_the_backstop():
    """Whatever it says that is no score of each arm: uniform, and logged as that."""
    with platform(sidecar=False) as shop:
        for name, reply in RUBBISH.items():
            with false_sidecar(shop, reply):
                answer = shop.recommend().json()
            found = shop.decision(answer["decision_id"])
            assert (name, answer["source"], answer["policy"]) == (name, "fallback", "backstop")
            assert answer["probability"] == found["probability"] == pytest.approx(1 / 4)
            assert found["exploration"]["scheme"] == "uniform"


def test_a_silent_sidecar_is_left_alone_after_a_while():
    """The breaker opens after twenty; then nobody waits, and one probe asks for all."""
    environ = {"SIDEARM_DECISION_SERVICE_SCORE_TIMEOUT_MS": "30"}
    with platform(sidecar=False, environ=environ) as shop, false_sidecar(shop, b""):
        for _ in range(20):
            assert shop.recommend().json()["source"] == "fallback"
        metrics = shop.client.get("/metrics").text
        assert 'sidearm_breaker_open{dependency="sidecar"} 1.0' in metrics
        assert 'sidearm_backstop_total{reason="SidecarFailed"}' not in metrics
        shop.recommend()
        assert 'sidearm_backstop_total{reason="SidecarFailed"} 1.0' in shop.client.get("/metrics").text


def test_too_many_at_once_are_told_to_come_later_and_rewards_last():
    """Of ten places nine are taken by decisions that wait for a silent sidecar, until it hangs up."""
    environ = {
        "SIDEARM_DECISION_SERVICE_MAX_IN_FLIGHT": "10",
        "SIDEARM_DECISION_SERVICE_DEADLINE_MS": "10000",
        "SIDEARM_DECISION_SERVICE_SCORE_TIMEOUT_MS": "9900",
    }
    with platform(sidecar=False, environ=environ) as shop, ThreadPoolExecutor(9) as callers:
        with false_sidecar(shop, b""):
            waiting = [callers.submit(shop.recommend, session_id=str(n)) for n in range(9)]
            until(lambda: under_way(shop) == 9)
            look, refused = shop.client.get("/v1/decisions/nobodys"), shop.recommend()
            reward = shop.reward(session_id="s", event="view")
            probe = shop.client.get("/livez")
        answers = [caller.result() for caller in waiting]
        assert shop.recommend().status_code == 201

    assert reward.status_code == 202
    assert probe.status_code == 200
    assert (look.status_code, refused.status_code) == (429, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 3
    assert refused.json()["type"] == "urn:sidearm:problem:Overloaded"
    assert {answer.status_code for answer in answers} == {201}


def test_whoever_dribbles_takes_no_place_from_others():
    """A body that never ends holds a connection, and nothing else."""
    with platform(sidecar=False, environ={"SIDEARM_DECISION_SERVICE_MAX_IN_FLIGHT": "2"}) as shop:
        host, port = shop.url.removeprefix("http://").split(":")
        head = (
            f"POST /v1/recommendations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shop.key}\r\n"
            'content-length: 100\r\n\r\n{"session_id":'
        )
        dribblers = [socket.create_connection((host, int(port))) for _ in range(20)]
        for dribbler in dribblers:
            dribbler.sendall(head.encode())
        assert shop.recommend().status_code == 201
        for dribbler in dribblers:
            dribbler.close()


def test_who_hangs_up_leaves_those_who_are_decided_beside_them_their_answers():
    """Half of those who ask at once go before they are told; no place is lost, and the service goes on."""
    with platform(sidecar=False) as shop, ThreadPoolExecutor(20) as callers:
        host, port = shop.url.removeprefix("http://").split(":")
        body = b'{"session_id":"gone"}'
        head = f"POST /v1/recommendations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shop.key}\r\n"
        whole = head.encode() + b"content-length: %d\r\n\r\n%b" % (len(body), body)
        for _ in range(3):
            leaving = [socket.create_connection((host, int(port))) for _ in range(20)]
            staying = [callers.submit(shop.recommend, session_id=f"stays-{n}") for n in range(20)]
            for one in leaving:
                one.sendall(whole)
                one.close()
            answers = [one.result() for one in staying]
            assert {one.status_code for one in answers} == {201}
            assert {one.json()["session_id"] for one in answers} == {f"stays-{n}" for n in range(20)}
        until(lambda: under_way(shop) == 0)


def test_at_sigterm_callers_are_sent_elsewhere_before_the_door_closes():
    """Readiness says no at once; requests are served, each on its last connection; then it ends well."""
    environ = {"SIDEARM_DECISION_SERVICE_LINGER_S": "3"}
    with platform(sidecar=False, environ=environ) as shop:
        assert shop.service is not None
        assert "connection" not in shop.recommend().headers
        shop.service.child.send_signal(signal.SIGTERM)
        until(lambda: shop.client.get("/readyz").status_code == 503)

        answer = shop.recommend(session_id="late")
        assert answer.status_code == 201
        assert answer.headers["connection"] == "close"
        assert shop.client.get("/livez").status_code == 200
        assert shop.service.exit_code() == 0
        with pytest.raises(httpx.ConnectError):
            shop.recommend()


def test_what_is_under_way_at_the_end_is_answered():
    """SIGTERM while a decision waits for a silent sidecar: it gets its answer, then the service ends."""
    with platform(sidecar=False) as shop, false_sidecar(shop, b""), ThreadPoolExecutor(1) as caller:
        assert shop.service is not None
        waiting = caller.submit(shop.recommend)
        until(lambda: under_way(shop) == 1)
        shop.service.child.send_signal(signal.SIGTERM)

        assert waiting.result().status_code == 201
        assert shop.service.exit_code() == 0


def under_way(shop: Platform) -> float:
    text = shop.client.get("/metrics").text
    return next(
        float(line.split()[1]) for line in text.splitlines() if line.startswith("sidearm_requests_under_way")
    )


def test_neither_logs_nor_headers_tell_what_they_should_not():
    """No key, no context in the log, whatever goes wrong; no name of the server, no foreign origin let in."""
    with platform(sidecar=False) as shop:
        shop.recommend(context={"note": "planted-word"}, arms=["planted-arm"])
        shop.client.post("/v1/recommendations", content=b'{"session_id": "planted-word"')
        shop.client.get("/livez", headers={"authorization": "Bearer sk_planted-key"})
        shop.client.post("/v1/rewards", json={}, headers={"authorization": "Bearer sk_planted-key"})
        headers = shop.client.get("/livez", headers={"origin": "https://elsewhere.example"}).headers
        assert shop.service is not None
        said = shop.service.output()

    assert "the backstop answers" in said
    assert [word for word in ("planted", shop.key) if word in said] == []
    assert {name for name in headers if name in ("server", "x-powered-by")} == set()
    assert {name for name in headers if name.startswith("access-control")} == set()
