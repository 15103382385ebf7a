"""Published clients, and their own documented examples, against a fresh ``sidearm up`` of the shop.

The examples are taken from the packages as they are installed; only endpoint and key are changed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.track import TrackingEventDetails
from segment.analytics.client import Client as Tracker

from decision_service.cli.platform import free_port
from sidecar.contracts.layout import DataFolder
from tests.decision_service.doors import clients_js
from tests.processes import Processes, short_folder
from tests.waiting import until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
KEY = "sk_" + "0123456789abcdef" * 4
READY_S = 90.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of the shop, as `make run` has it."""
    folder, port = short_folder(), free_port()
    processes = Processes(folder)
    command = [str(Path(sys.executable).with_name("sidearm")), "up", str(ROOT / "examples" / "shop")]
    command += ["--data", str(DataFolder(folder / "d").root), "--port", str(port)]
    shop = processes.run(command, "up", {"COLUMNS": "300", "SIDEARM_DEVELOPMENT_KEY": KEY})
    shop.wait_until(lambda: "service  " in shop.output(), READY_S)
    yield f"http://127.0.0.1:{port}"
    assert processes.stop_all() == []


def counted(address: str, endpoint: str, status: int) -> float:
    """How often the service has answered so."""
    text = httpx.get(f"{address}/metrics").text
    wanted = re.findall(
        rf'^sidearm_answers_total{{endpoint="{endpoint}",status="{status}"}} (\S+)', text, re.M
    )
    return float(wanted[0]) if wanted else 0.0


def python_examples() -> list[str]:
    """The code of the package's page that makes a client."""
    page = str(metadata("azure-ai-personalizer").get_payload())
    return [
        code
        for code in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
        if "PersonalizerClient(" in code
    ]


def test_python_of_2022(address):
    """Both of its examples: rank and reward, multi-slot rank and reward."""
    examples = python_examples()
    assert len(examples) == 2
    for code in examples:
        code = re.sub(r'endpoint = ".*"', f'endpoint = "{address}/"', code).replace("<api_key>", KEY)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Sending reward event")
    for endpoint, status in (("rank", 201), ("reward", 204), ("rank_slots", 201), ("reward_slots", 204)):
        assert counted(address, f"personalizer_{endpoint}", status) >= 1, endpoint


def test_python_of_version_1(address):
    """It has no example on its page: the flow of Microsoft's quickstart, rank, then reward."""
    code = f"""
from azure.cognitiveservices.personalizer import PersonalizerClient
from azure.cognitiveservices.personalizer.models import RankableAction, RankRequest
from msrest.authentication import CognitiveServicesCredentials

client = PersonalizerClient("{address}", CognitiveServicesCredentials("{KEY}"))
actions = [
    RankableAction(id="pasta", features=[{{"taste": "salty"}}, {{"nutritionLevel": 5}}]),
    RankableAction(id="ice cream", features=[{{"taste": "sweet"}}, {{"nutritionLevel": 2}}]),
]
request = RankRequest(actions=actions, context_features=[{{"timeOfDay": "night"}}, {{"taste": "sweet"}}])
response = client.rank(rank_request=request)
client.events.reward(event_id=response.event_id, value=1.0)
client.events.activate(event_id=response.event_id)
print(response.reward_action_id)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() in {"pasta", "ice cream"}, done.stderr


def test_javascript_of_version_1(address):
    """The example of its page, with endpoint and key where it looks for them: in the environment."""
    page = clients_js.readme_of("@azure/cognitiveservices-personalizer")
    [code] = [c for c in re.findall(r"^```javascript\n(.*?)^```", page, re.M | re.S) if "require(" in c]
    environ = {"personalizerKey": KEY, "personalizerEndPoint": address}
    said = clients_js.run(code, environ=environ)
    assert "The result is:" in said
    assert re.search(r"rewardActionId: '(News|Entertainment)Article'", said), said
    assert re.search(r"id: 'SportsArticle', probability: 0 }", said), said


def test_a_reward_that_a_tracker_posts_for_a_flag_is_learned_from(address):
    """OpenFeature's SDK gets the arm, it or Segment's tells of the order; each is one example."""
    headers = {"Authorization": f"Bearer {KEY}"}
    names: dict[str, Any] = {}
    exec(clients_js.example("flags.md", "python", "class Sidearm"), names)
    api.set_provider(names["Sidearm"](address, headers_factory=lambda: headers))
    tracker = Tracker(KEY, host=address, sync_mode=True)
    shown = {}
    for number in range(20):
        visitor = EvaluationContext(f"visitor-{number}", {"device": "ios"})
        details = api.get_client().get_string_details("shop", "nothing", visitor)
        shown[details.flag_metadata["decision_id"]] = details
        if number % 2:
            api.get_client().track("Order Completed", visitor, TrackingEventDetails(12.5))
        else:
            tracker.track(f"visitor-{number}", "Order Completed", {"order_id": number, "revenue": 12.5})
    api.shutdown()
    assert len(shown) == 20

    def look(decision_id: str) -> dict[str, object]:
        return httpx.get(f"{address}/v1/decisions/{decision_id}", headers=headers).json()

    for decision_id, details in shown.items():
        until(lambda one=decision_id: look(one)["state"] == "final", READY_S, "final")
        found = look(decision_id)
        assert (found["arm"], found["reward"]) == (details.variant, 1.0)
    until(lambda: learnt(address) == decided(address), READY_S, "an example for each decision")


def decided(address: str) -> float:
    """Decisions so far, of every test of this file."""
    text = httpx.get(f"{address}/metrics").text
    return sum(float(count) for count in re.findall(r"^sidearm_decisions_total{.*} (\S+)", text, re.M))


def learnt(address: str) -> int:
    """The examples that the champion has been trained on."""
    headers = {"Authorization": f"Bearer {KEY}"}
    [champion] = httpx.get(f"{address}/v1/models", headers=headers).json()["models"]
    return champion["progressive"]["examples"] if champion["progressive"] else 0
