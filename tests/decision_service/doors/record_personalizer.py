"""Two hundred random requests, sent by the published clients and written down as they leave them.

``python -m tests.decision_service.doors.record_personalizer`` writes ``personalizer.jsonl`` anew. How each is
to be answered is known by the fault that was planted in it, or that there is none; no server here has a say.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from tests.decision_service.doors import clients_js

FILE = Path(__file__).with_name("personalizer.jsonl")
SEED, COUNTS = 8, {"python-1": 80, "python-2022": 70, "javascript-1": 50}
KEY = "KEY"
KEPT = ("content-type", "ocp-apim-subscription-key", "accept")
LETTERS = "abcXYZ019-_ ./%:ü€+&?#"

Request = dict[str, Any]


class Asked(NamedTuple):
    """One call of a client, and how it is to be answered."""

    operation: str
    arguments: list[Any]
    status: int
    code: str = ""
    says: str = ""
    """In the message of the refusal."""


class Recorder(BaseHTTPRequestHandler):
    """Answers everything as if all were well, and keeps what came."""

    came: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() in KEPT}
        self.came.append({"path": self.path, "headers": headers, "body": body})
        ranked = self.path.partition("?")[0].endswith("rank")
        answer = b'{"ranking":[],"slots":[],"eventId":"e","rewardActionId":"a"}' if ranked else b""
        self.send_response(201 if ranked else 204)
        if ranked:
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def an_id(rng: random.Random) -> str:
    """Of letters that clients escape, each in its own way."""
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 12))) + f"~{rng.getrandbits(40):x}"


def a_feature(rng: random.Random) -> Any:
    """A value of any kind that Personalizer takes."""
    kinds: list[Callable[[], Any]] = [
        lambda: rng.choice(["ios", "web", "ü", ""]),
        lambda: round(rng.uniform(-5, 5), 3),
        lambda: rng.randint(0, 99),
        lambda: rng.random() < 0.5,
        lambda: {"os": rng.choice("ab"), "version": {"major": rng.randint(1, 9)}},
        lambda: [rng.randint(0, 3), 0.5],
    ]
    return rng.choice(kinds)()


def features(rng: random.Random) -> list[Request]:
    return [{f"f{n}": a_feature(rng)} for n in range(rng.randint(1, 3))]


def a_rank(rng: random.Random) -> Request:
    """One that is well."""
    actions = [{"id": an_id(rng), "features": features(rng)} for _ in range(rng.randint(1, 6))]
    ids = [action["id"] for action in actions]
    found: Request = {"actions": actions, "eventId": an_id(rng), "deferActivation": rng.random() < 0.3}
    if rng.random() < 0.8:
        found["contextFeatures"] = features(rng)
    if rng.random() < 0.6:
        found["excludedActions"] = rng.sample(ids, rng.randrange(len(ids)))
    return found


def a_faulty_rank(rng: random.Random) -> tuple[Request, str]:
    """One with a fault, and what is said of it."""
    rank = a_rank(rng)
    action, some = rng.choice(rank["actions"]), features(rng)
    faults: list[tuple[Callable[[], Any], str]] = [
        (lambda: rank.update(actions=[]), "Action count should be between 1 and 50."),
        (
            lambda: rank.update(actions=[{"id": f"a{n}", "features": some} for n in range(51)]),
            "Action count should be between 1 and 50.",
        ),
        (lambda: action.update(id=""), "Action ids must not be empty."),
        (
            lambda: action.update(features=[]),
            "Every action should have at least one non-null action feature.",
        ),
        (
            lambda: action.update(features=[{"f": ["a", "b"]}]),
            "Features should not contain array with non-number items.",
        ),
        (
            lambda: rank.update(contextFeatures=[{"": 1}]),
            "Context features and action features cannot use the empty string as an id.",
        ),
        (lambda: rank.update(eventId=""), "EventId should be non-empty or null."),
        (lambda: rank.update(excludedActions=[one["id"] for one in rank["actions"]]), "excluded"),
    ]
    plant, says = rng.choice(faults)
    plant()
    return rank, says


def a_page(rng: random.Random) -> Request:
    """A multi-slot rank that is well."""
    rank = a_rank(rng)
    rank.pop("excludedActions", None)
    ids = [action["id"] for action in rank["actions"]]
    rank["slots"] = [
        {
            "id": an_id(rng),
            rng.choice(["features", "positionFeatures"]): features(rng),
            "baselineAction": baseline,
            "excludedActions": [other for other in ids if other != baseline and rng.random() < 0.2],
        }
        for baseline in rng.sample(ids, rng.randint(1, len(ids)))
    ]
    return rank


def a_faulty_page(rng: random.Random) -> tuple[Request, str]:
    page = a_page(rng)
    slot = page["slots"][0]
    faults: list[tuple[Callable[[], Any], str]] = [
        (lambda: page.update(slots=[]), "At lease one slot must be defined in a multi-slot rank request."),
        (lambda: slot.update(id=""), "All slot's must contain unique, non empty ID"),
        (lambda: slot.update(baselineAction="nobody"), "Each slot must contain a unique BaselineAction"),
        (
            lambda: slot.update(excludedActions=[slot["baselineAction"]]),
            "BaselineAction cannot be part of ExcludedActions.",
        ),
        (
            lambda: slot.update(excludedActions=["nobody"]),
            "All excluded action ID's must have corresponding action ID",
        ),
    ]
    plant, says = rng.choice(faults)
    plant()
    return page, says


def a_call(rng: random.Random, client: str) -> Asked:
    """Any operation that the client has, well or at fault."""
    kinds: list[Callable[[], Asked]] = [
        lambda: Asked("rank", [a_rank(rng)], 201),
        lambda: _faulty("rank", *a_faulty_rank(rng)),
        lambda: Asked("reward", [an_id(rng), round(rng.uniform(-1, 1), 3)], 204),
        lambda: Asked(
            "reward", [an_id(rng), rng.choice([-1.5, 2])], 400, "InvalidRewardRequest", "between -1 and 1"
        ),
        lambda: Asked("reward", ["x" * 257, 1], 400, "InvalidRewardRequest", "1 to 256 characters"),
        lambda: Asked("activate", [an_id(rng)], 204),
        lambda: Asked("activate", ["x" * 257], 400, "InvalidEventIdToActivate", "1 to 256 characters"),
    ]
    if client == "python-2022":
        kinds += [
            lambda: Asked("rank_multi_slot", [a_page(rng)], 201),
            lambda: _faulty("rank_multi_slot", *a_faulty_page(rng)),
            lambda: Asked("reward_multi_slot", [an_id(rng), [{"slotId": an_id(rng), "value": 0.5}]], 204),
            lambda: Asked("activate_multi_slot", [an_id(rng)], 204),
        ]
    return rng.choice(kinds)()


def _faulty(operation: str, request: Request, says: str) -> Asked:
    return Asked(operation, [request], 400, "InvalidRankRequest", says)


def by_python_1(url: str, calls: list[Asked]) -> None:
    from azure.cognitiveservices.personalizer import PersonalizerClient
    from azure.cognitiveservices.personalizer.models import RankRequest
    from msrest.authentication import CognitiveServicesCredentials

    client = PersonalizerClient(url, CognitiveServicesCredentials(KEY))
    for call in calls:
        _quietly(lambda: _python_1(client, RankRequest, call))  # noqa: B023


def _python_1(client: Any, rank_request: Any, call: Asked) -> None:
    match call.operation:
        case "rank":
            client.rank(rank_request.from_dict(call.arguments[0]))
        case "reward":
            client.events.reward(event_id=call.arguments[0], value=call.arguments[1])
        case _:
            client.events.activate(event_id=call.arguments[0])


def by_python_2022(url: str, calls: list[Asked]) -> None:
    from azure.ai.personalizer import PersonalizerClient
    from azure.core.credentials import AzureKeyCredential

    client = PersonalizerClient(url, AzureKeyCredential(KEY))
    for call in calls:
        arguments = list(call.arguments)
        if call.operation.startswith("reward"):
            arguments[1] = {"reward" if "multi" in call.operation else "value": arguments[1]}
        _quietly(lambda: getattr(client, call.operation)(*arguments))  # noqa: B023


def by_javascript_1(url: str, calls: list[Asked]) -> None:
    clients_js.told("personalizer.cjs", url, KEY, stdin=[[call.operation, *call.arguments] for call in calls])


def _quietly(call: Callable[[], object]) -> None:
    """What a client refuses to send is no request."""
    try:
        call()
    except Exception as error:
        print(f"not sent: {type(error).__name__}: {str(error)[:100]}")


CLIENTS = {"python-1": by_python_1, "python-2022": by_python_2022, "javascript-1": by_javascript_1}


def recorded() -> Iterator[dict[str, Any]]:
    """One call after the other, so that each is known by what came of it."""
    rng = random.Random(SEED)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    for client, count in COUNTS.items():
        found = 0
        while found < count:
            calls = [a_call(rng, client) for _ in range(1 if client != "javascript-1" else 40)]
            for call in calls if client != "javascript-1" else ():
                Recorder.came.clear()
                CLIENTS[client](url, [call])
                if Recorder.came and found < count:
                    found += 1
                    yield _line(client, call, Recorder.came[-1])
            if client == "javascript-1":
                for call, came in _of_javascript(url, calls):
                    if found < count:
                        found += 1
                        yield _line(client, call, came)
    server.shutdown()


def _of_javascript(url: str, calls: list[Asked]) -> Iterator[tuple[Asked, dict[str, Any]]]:
    """One process for many calls; what it did not send is left out."""
    Recorder.came.clear()
    told = clients_js.told(
        "personalizer.cjs", url, KEY, stdin=[[call.operation, *call.arguments] for call in calls]
    )
    sent = [call for call, one in zip(calls, told, strict=True) if one.get("status")]
    yield from zip(sent, list(Recorder.came), strict=True)


def _line(client: str, call: Asked, came: dict[str, Any]) -> dict[str, Any]:
    return {"client": client, **came, "status": call.status, "code": call.code, "says": call.says}


if __name__ == "__main__":
    FILE.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in recorded()))
