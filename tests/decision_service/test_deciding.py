"""Requests that are decided together: each is told what it would be told alone, and waits for nobody long."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from decision_service import busy_wait, deciding
from decision_service.api.recommendations import Recommendation, RecommendationRequest
from decision_service.decide import decide
from decision_service.deciding import AT_ONCE, WORTH, Deciding, decide_one
from decision_service.errors import BadRequest, NothingEligible, StoreAway
from tests.decision_service.test_propensities import BOLD, CHAMPION, OWN, SHADOW, Container, Service, request

ODD = [
    {"decision_id": "0-18bcfe5680000000000000000ff"},
    {"arms": ["a1", "a1"]},
    {"arms": ["a1"], "exclude": ["a1"]},
    {"limit": 3},
    {"limit": "all"},
    {"arms": ["a4", "new"], "exclude": ["a3"]},
    {"decision_id": "k"},
    {},
]


async def alone(service: Service, asked: list[RecommendationRequest]) -> list[object]:
    told: list[object] = []
    for one in asked:
        try:
            told.append(await decide_one(service.decider, one))
        except Exception as error:
            told.append((type(error), str(error)))
    return told


@pytest.mark.parametrize("models", [(CHAMPION,), (CHAMPION, BOLD, SHADOW), (CHAMPION, BOLD, OWN)], ids=len)
async def test_each_is_told_what_it_would_be_told_alone(models):
    """Answers, refusals and the log's bytes, of every kind of request there is, beside one another."""

    def containers():
        return {"": Container("", fails=lambda row: row.context["device"] == "web"), "own": Container("own")}

    asked = [request(n, **ODD[n % len(ODD)]) for n in range(64)]
    asked += [request(6, decision_id="k")]  # once more
    one_by_one, at_once = (Service(*models, containers=containers()) for _ in range(2))
    told = await alone(one_by_one, asked)
    outcomes = await decide(at_once.decider, asked)
    assert told == [one if isinstance(one, Recommendation) else (type(one), str(one)) for one in outcomes]
    assert at_once.log.stored == one_by_one.log.stored
    refused = {type(one) for one in outcomes if isinstance(one, Exception)}
    assert refused == {BadRequest, NothingEligible}
    assert outcomes[-1].source == "repeat"
    assert {one.source for one in outcomes if isinstance(one, Recommendation)} >= {"model", "repeat"}


class Calls:
    """Stands for ``decide``; notes what is decided together, and waits where it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.features: dict[str, asyncio.Event] = {}
        self.called = asyncio.Event()

    async def __call__(self, decider, requests, began_s, traces=(), fetched=None):
        self.batches.append([one.session_id for one in requests])
        self.called.set()
        for one in requests:
            if one.session_id in self.features:
                await self.features[one.session_id].wait()
        fetched()
        for one in requests:
            if one.session_id in self.gates:
                await self.gates[one.session_id].wait()
        return [RuntimeError(one.session_id) for one in requests]


def asked(session: str, deadline_ms: int | None = None) -> RecommendationRequest:
    return RecommendationRequest(session_id=session, deadline_ms=deadline_ms)


def of(monkeypatch, together=True, deadline_s=1.0, busy_wait_s=0.0) -> tuple[Calls, Deciding]:
    calls, loop = Calls(), asyncio.get_running_loop()
    monkeypatch.setattr(deciding, "decide", calls)
    telemetry = SimpleNamespace(tracing=None)
    features = SimpleNamespace(together=together)
    decider = SimpleNamespace(features=features, loop_time=loop.time, telemetry=telemetry)
    return calls, Deciding(lambda: decider, 64, deadline_s, busy_wait_s)


async def test_who_comes_together_is_decided_together_with_those_of_the_same_deadline(monkeypatch):
    calls, many = of(monkeypatch)
    coming = [many.put(asked(f"s{n}", 100 if n % 2 else None)) for n in range(6)]
    assert [str(one) for one in await asyncio.gather(*coming)] == [f"s{n}" for n in range(6)]
    assert calls.batches == [["s0", "s2", "s4"], ["s1", "s3", "s5"]]


async def test_nobody_waits_long_for_batches_that_hang(monkeypatch):
    """As many as may be on their way hang; who comes then goes a tenth of a deadline later."""
    calls, many = of(monkeypatch)
    held = []
    for n in range(AT_ONCE):
        calls.gates[f"hangs{n}"] = asyncio.Event()
        held.append(many.put(asked(f"hangs{n}")))
        await calls.called.wait()  # who comes alone while another hangs is worth no batch of its own at once
        calls.called.clear()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await many.put(asked("next"))
    assert loop.time() - began_s < 0.8
    assert calls.batches[-1] == ["next"]
    for gate in calls.gates.values():
        gate.set()
    await asyncio.gather(*held)


async def test_the_loop_is_awake_while_decisions_are_on_their_way(monkeypatch):
    """And not before, nor after the last of them, whatever became of it."""
    turns = []
    monkeypatch.setattr(busy_wait, "_give_way", lambda: turns.append(1))
    calls, many = of(monkeypatch, busy_wait_s=3600.0)
    calls.gates["held"] = asyncio.Event()
    await _turns()
    assert not turns
    held = many.put(asked("held"))
    await calls.called.wait()
    before = len(turns)
    await _turns()
    assert len(turns) > before
    calls.gates["held"].set()
    await held
    await _turns()
    before = len(turns)
    await _turns()
    assert len(turns) == before


async def test_the_next_ones_begin_when_those_before_have_their_features(monkeypatch):
    """Not side by side, however many they are; and before those are answered, if they are as many."""
    calls, many = of(monkeypatch, deadline_s=600.0)
    calls.features["first"], calls.gates["first"] = asyncio.Event(), asyncio.Event()
    first = many.put(asked("first"))
    await calls.called.wait()
    coming = [many.put(asked(f"s{n}")) for n in range(WORTH)]
    await _turns()
    assert calls.batches == [["first"]]
    calls.features["first"].set()
    await asyncio.gather(*coming)
    assert calls.batches == [["first"], [f"s{n}" for n in range(WORTH)]]
    assert not first.done()
    calls.gates["first"].set()
    await first


async def test_the_next_ones_wait_until_they_are_three_quarters_of_those_before(monkeypatch):
    calls, many = of(monkeypatch, deadline_s=600.0)
    calls.gates["m0"] = asyncio.Event()
    before = [many.put(asked(f"m{n}")) for n in range(4 * WORTH)]
    await calls.called.wait()
    few = [many.put(asked(f"s{n}")) for n in range(3 * WORTH - 1)]
    await _turns()
    assert len(calls.batches) == 1
    await many.put(asked("last"))
    assert list(map(len, calls.batches)) == [4 * WORTH, 3 * WORTH]
    calls.gates["m0"].set()
    await asyncio.gather(*before, *few)


async def test_features_that_never_come_hold_up_nobody(monkeypatch):
    """Whoever comes meanwhile goes a tenth of a deadline later."""
    calls, many = of(monkeypatch, deadline_s=0.05)
    calls.features["hangs"] = asyncio.Event()
    hangs = many.put(asked("hangs"))
    await calls.called.wait()
    await asyncio.gather(*[many.put(asked(f"s{n}")) for n in range(3)])
    assert calls.batches == [["hangs"], ["s0", "s1", "s2"]]
    calls.features["hangs"].set()
    await hangs


async def _turns() -> None:
    """Let whatever is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_fetched_for_each_request_is_decided_by_itself(monkeypatch):
    """A slow fetch of one is waited for by nobody else."""
    calls, many = of(monkeypatch, together=False)
    calls.gates["slow"] = asyncio.Event()
    slow = many.put(asked("slow"))
    await asyncio.gather(*[many.put(asked(f"s{n}")) for n in range(20)])
    assert sorted(map(len, calls.batches)) == [1] * 21
    calls.gates["slow"].set()
    await slow


@pytest.mark.parametrize("stage", ["first_looks", "resolve_all"])
async def test_what_fails_for_all_of_them_fails_for_the_one_whose_fault_it_is(stage, monkeypatch):
    """A request that nobody thought of takes nobody with it."""
    service = Service(CHAMPION)
    features, asked = service.decider.features, [request(n) for n in range(5)]
    before = getattr(features, stage)

    async def fails(rows, deadline_at):
        said = [row[0] if isinstance(row, tuple) else row.request for row in rows]
        if any(one.session_id == "s3" for one in said):
            raise ValueError("s3")
        return await before(rows, deadline_at)

    monkeypatch.setattr(features, stage, fails)
    outcomes = await decide(service.decider, asked)
    assert [isinstance(one, Recommendation) for one in outcomes] == [True, True, True, False, True]
    assert isinstance(outcomes[3], ValueError)
    assert len(service.log.stored) == 4


async def test_repeats_are_told_at_once_and_hold_up_nobody_for_longer_than_the_deadline(monkeypatch):
    """Their catalogue is read from a store that does not answer: each of them says so, the others go on."""
    service, looking = Service(CHAMPION), []
    kept = [request(n, decision_id="k", deadline_ms=50) for n in range(3)]
    await decide(service.decider, kept)

    async def silent(event):
        looking.append(event.session_id)
        await asyncio.Event().wait()

    monkeypatch.setattr(service.decider.catalogues, "eligible_ids", silent)
    outcomes = await asyncio.wait_for(decide(service.decider, [*kept, request(3)]), 5)
    assert looking == ["s0", "s1", "s2"]
    assert [type(one) for one in outcomes] == [StoreAway] * 3 + [Recommendation]


async def test_what_cannot_be_logged_is_nobody_elses_matter(monkeypatch):
    """The log fails over one of them; those beside it are logged, once."""
    service, asked = Service(CHAMPION), [request(n) for n in range(4)]
    before = service.log.append_all

    async def fails(rows, left_s=None):
        if any(one.event.session_id == "s2" for one in rows):
            raise ValueError("s2")
        return await before(rows, left_s)

    monkeypatch.setattr(service.log, "append_all", fails)
    outcomes = await decide(service.decider, asked)
    assert [isinstance(one, Recommendation) for one in outcomes] == [True, True, False, True]
    assert isinstance(outcomes[2], ValueError)
    assert sorted(one.session_id for one in service.log.events) == ["s0", "s1", "s3"]
