"""The logged propensity is the probability that the arm was drawn with, given what is logged: on every path.

Each path is played some thousand times through the real :func:`decide`, with containers, rules and a log of
our own around it. Of each decision, as its bytes are stored:

- its pmf, made from nothing but the log, has the logged propensity at the logged arm, to the last bit, and
  drawing from it with the logged seed gives that arm;
- among decisions of which the log says the same (scores, who could be official and how probably, who was
  missing, exploration), each arm is as frequent as that pmf says, and so is each official model beside it.

Frequencies lie within Bernstein's bound but for a chance of 1e-9 for each path (S. Boucheron, G. Lugosi and
P. Massart, "Concentration Inequalities", 2013, theorem 2.10); seeds are fixed, so they always do or never.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from decision_service.api.recommendations import RecommendationRequest
from decision_service.batch import RecommendationBatch, decide_all
from decision_service.breaker import Guard
from decision_service.canaries import Canaries
from decision_service.catalogues import Catalogues
from decision_service.decider import Decider
from decision_service.deciding import decide_one as decide
from decision_service.decoys import Decoys
from decision_service.errors import SidecarFailed
from decision_service.event_log import EventLog
from decision_service.features import FeatureSource
from decision_service.mailbox import Mailbox
from decision_service.prepolicy import Shelf, Shelves
from decision_service.row_scores import RowScores, scores_of
from decision_service.rules import Rules, with_rules
from decision_service.scoring import Scorer
from decision_service.settings import ServiceSettings
from decision_service.spool import Spool
from decision_service.staleness import Staleness
from decision_service.telemetry import Telemetry
from sidecar.contracts.application import Application, Arm, Exploration, ExplorationConfig
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.events import decode_decision, encode_decision
from sidecar.contracts.exploring import Exploring, Segment, found_for
from sidecar.contracts.roster import Model, Roster
from sidecar.contracts.scripts.decide import Decided, DecideStatus
from sidecar.contracts.slots import seed_of_slot, slot_event
from sidecar.contracts.wire import ScoredRow, ScoreResponse, VersionScores
from sidecar.policy.exploration import pmf_of
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw, seed_of

SECRET, DECISIONS, FAILS = b"secret of the application", 1_200, 1e-9
CATALOGUE = catalogue_of(tuple([Arm(f"a{n}") for n in range(5)]))
KNOWN = {arm.id for arm in CATALOGUE.arms}
SCORES = {
    "": {"ios": (0.1, 0.9, 0.4, 0.9, 0.0), "web": (0.8, 0.1, 0.2, 0.3, 0.7)},
    3: {"ios": (0.9, 0.1, 0.1, 0.2, 0.8), "web": (0.0, 0.0, 0.6, 0.1, 0.1)},
    "own": {"ios": (0.0, 0.2, 0.9, 0.1, 0.5), "web": (0.3, 0.9, 0.2, 0.1, 0.0)},
}
CHAMPION = Model(name="champion", role="champion")
BOLD = Model(name="bold", role="challenger", version=3, share=0.3)
SOFT = Exploration("softmax", temperature=0.3)
OWN = Model(name="own", role="challenger", share=0.25, container="own", exploration=SOFT)
GREEDY = msgspec.structs.replace(OWN, exploration=Exploration(epsilon=0.0))
SHADOW = Model(name="dark", role="shadow", version=3)
EXPLORATION = Exploration(epsilon=0.2, control_share=0.05)


class Container:
    """Scores by the device; fails or is silent where it is told to."""

    def __init__(self, name, fails=lambda row: False, cold=False, without=()):
        self._name, self._fails, self._cold, self._without = name, fails, cold, without

    async def score_all(self, rows, catalogue, left_s, gathered=False):
        return [SidecarFailed("gone") if self._fails(row) else self.score(row, catalogue) for row in rows]

    def score(self, row, catalogue):
        arms = row.given_arms or [catalogue.arms[n] for n in row.arms or range(len(catalogue.arms))]
        places = [int(arm.id[1:]) if arm.id in KNOWN else 0 for arm in arms]

        def told(scores):
            return np.array(scores, "<f4")[places].tobytes()

        device = row.context["device"]
        versions = () if 3 in self._without else (VersionScores(3, told(SCORES[3][device])),)
        own = np.zeros(5) if self._cold else SCORES[self._name][device]
        return RowScores(told(own), 0 if self._cold else 7, self._cold, models=versions)


class Together(Container):
    """A container behind the service's own scorer: what comes at once is one call, and one array of rows."""

    def __init__(self, name):
        super().__init__(name)
        guard = Guard("sidecar", None, asyncio.get_running_loop().time, lambda *_: None)
        self._scorer = Scorer(
            self._Client(self), EXPLORATION, timeout_s=60.0, max_batch=64, connections=2, guard=guard
        )

    class _Client:
        def __init__(self, container):
            self._container, self.score_one = container, super(Together, container).score

        async def score_by(self, until_s, rows, explorations, catalogue, *, calibrated, versions):
            said = [self.score_one(row, catalogue) for row in rows]
            deployed = b"".join([one.models[0].scores for one in said])
            scored = tuple([ScoredRow(one.scores, b"") for one in said])
            return scores_of(ScoreResponse(scored, 7, False, models=(VersionScores(3, deployed),)), len(rows))

    async def score_all(self, rows, catalogue, left_s, gathered=False):
        return await self._scorer.score_all(rows, catalogue, left_s, gathered=gathered)


class Log:
    """Keeps the bytes of what is logged."""

    def __init__(self):
        self.stored, self.unlogged = [], 0

    async def append_all(self, asked, left_s=None):
        return [self.append(*one) for one in asked]

    def append(self, event, logged=True, kept_as=""):
        if not logged:
            self.unlogged += 1
            return Decided(DecideStatus.SHED, event.decision_id)
        if event.client_key:
            for payload in self.stored:
                old = decode_decision(payload)
                if (old.session_id, old.client_key) == (event.session_id, event.client_key):
                    return Decided(DecideStatus.DUP, old.decision_id, 1, payload)
        self.stored.append(encode_decision(event))
        return Decided(DecideStatus.OK, event.decision_id, 1)

    @property
    def events(self):
        return [decode_decision(payload) for payload in self.stored]


class Service:
    """One decider; what differs between paths is given by name."""

    def __init__(
        self,
        *models,
        containers=None,
        log=None,
        exploration=EXPLORATION,
        exploring=None,
        rules=None,
        share=1.0,
        settings=None,
        trained_until_ms=0,
    ):
        loop, clock = asyncio.get_running_loop(), lambda: 1_700_000_000_000
        rng = random.Random(7)
        application = Application(name="bench", partitions=2)
        containers = containers or {"": Container(""), "own": Container("own")}
        decoys = Decoys(lambda name: Path("/nonexistent"), 0, SECRET, clock, lambda *_: None)
        roster = Roster(models or (CHAMPION,))
        declared = with_rules(None, Rules(Path("rules.py"), answer=rules or {}), 60.0)
        plan = exploring or Exploring()
        self.log = log or Log()
        self.decider = Decider(
            application=application,
            shelves=Shelves(Shelf(CATALOGUE)),
            features=FeatureSource(declared, {}, loop.time, 60.0),
            models=Mailbox(
                containers.__getitem__, lambda: roster, decoys, Canaries(None, "bench", lambda *_: None)
            ),
            log=self.log,
            catalogues=Catalogues(None, "bench", CATALOGUE),
            telemetry=Telemetry(CollectorRegistry()),
            share=lambda partition: share,
            explore=lambda context, unit: found_for(plan, context, unit, {}, exploration),
            staleness=Staleness(settings or ServiceSettings(), lambda: trained_until_ms, clock),
            deadline_ms=60_000,
            secret=SECRET,
            now_ms=clock,
            loop_time=loop.time,
            entropy=lambda: rng.getrandbits(64),
        )

    async def play(self, count=DECISIONS, **fields):
        """So many requests, of two kinds."""
        for number in range(count):
            await decide(self.decider, request(number, **fields))
        return self.log.events


def request(number, **fields):
    context = {"device": ("ios", "web")[number % 2]}
    return RecommendationRequest(session_id=f"s{number}", unit_id=f"u{number}", context=context, **fields)


def everything_but_luck(event):
    """What the log says of a decision, but for its ids, its seed, its arms and who was official."""
    official = (
        event.policy,
        event.model_version,
        event.official_probability,
        event.exploration,
        event.scores,
    )
    others = [
        (one.policy, one.model_version, one.probability, one.exploration, one.scores)
        for one in event.candidates
    ]
    models = tuple(sorted([official, *others], key=lambda one: one[0]))
    return models, event.shadows, event.missing, event.source, event.segment, event.rule, event.arms


def check(events, least=DECISIONS):
    """See the module's text."""
    assert len(events) >= least
    groups = defaultdict(list)
    for event in events:
        pmf, seed = pmf_of_event(event), int(event.seed)
        assert seed == seed_of(event.decision_id, SECRET)
        assert (draw(pmf, seed), float(pmf[event.arm_index])) == (event.arm_index, event.propensity)
        groups[everything_but_luck(event)].append(event)
    assert len(groups) <= 8
    for (models, *_), group in groups.items():
        joint = np.array([p * pmf_of(np.frombuffer(scores, "<f4"), how) for _, _, p, how, scores in models])
        assert joint.sum(axis=0) == pytest.approx(pmf_of_event(group[0]), abs=1e-12)
        names = [name for name, *_ in models]
        cells = [names.index(one.policy) * joint.shape[1] + one.arm_index for one in group]
        counts = np.bincount(cells, minlength=joint.size).reshape(joint.shape)
        assert frequent(counts, joint, len(group), len(groups))
        assert frequent(counts.sum(axis=0), joint.sum(axis=0), len(group), len(groups))
    return groups


def frequent(counts, expected, n, n_groups):
    each = math.log(4 * expected.size * n_groups / FAILS) / n
    bound = each / 3 + np.sqrt((each / 3) ** 2 + 2 * expected * (1 - expected) * each)
    return bool((np.abs(counts / n - expected) <= bound).all())


async def test_the_champion():
    groups = check(await Service().play())
    assert len(groups) == 2


async def test_a_challenger_and_a_shadow():
    """Arm and official model together have the frequencies of the mixture."""
    events = await Service(CHAMPION, BOLD, OWN, SHADOW).play()
    check(events)
    assert {one.policy for one in events} == {"champion", "bold", "own"}
    assert {len(one.candidates) for one in events} == {2}
    assert {one.policy for event in events for one in event.shadows} == {"dark"}


async def test_a_challenger_that_is_silent_now_and_then():
    """Its share goes to the champion, and the log says that it was missing."""
    own = Container("own", fails=lambda row: row.context["device"] == "web")
    events = await Service(CHAMPION, BOLD, OWN, containers={"": Container(""), "own": own}).play()
    check(events)
    assert {(one.context["device"], one.missing) for one in events} == {("ios", ()), ("web", ("own",))}


async def test_a_champion_that_is_silent():
    """The challenger of the highest priority has what was the champion's."""
    silent = msgspec.structs.replace(CHAMPION, version=9)
    events = await Service(silent, BOLD, msgspec.structs.replace(OWN, priority=1)).play()
    check(events)
    chances = {one.policy: one.official_probability for one in events}
    assert chances == pytest.approx({"bold": 0.3, "own": 0.7})


async def test_the_backstop_when_nobody_answers():
    gone = {"": Container("", fails=lambda row: True), "own": Container("own", fails=lambda row: True)}
    events = await Service(CHAMPION, BOLD, OWN, containers=gone).play()
    check(events)
    assert {(one.source, one.propensity, one.missing) for one in events} == {
        ("fallback", 0.2, ("champion", "bold", "own"))
    }


async def test_the_backstop_in_place_of_expired_weights():
    settings = ServiceSettings(weights_expire_s=10.0)
    events = await Service(settings=settings, trained_until_ms=1).play()
    check(events)
    assert {one.source for one in events} == {"fallback"}


@pytest.mark.parametrize("models", [(CHAMPION,), (CHAMPION, BOLD, GREEDY)])
async def test_stale_weights_with_a_floor_below_every_arm_of_every_model(models):
    """Whichever model is drawn, and however it explores otherwise."""
    settings = ServiceSettings(weights_stale_s=10.0, weights_stale_floor=0.03)
    events = await Service(*models, settings=settings, trained_until_ms=1).play()
    check(events)
    for event in events[:2]:
        assert pmf_of_event(event).min() >= 0.03 - 1e-12
        for one in event.candidates:
            assert pmf_of(np.frombuffer(one.scores, "<f4"), one.exploration).min() >= 0.03 - 1e-12


async def test_a_cold_start():
    events = await Service(containers={"": Container("", cold=True)}).play()
    check(events)
    assert {one.cold for one in events} == {True}
    assert [one.propensity for one in events] == pytest.approx([0.2] * DECISIONS)


async def test_nothing_but_a_control_share():
    """One share, of the whole procedure, however many models there are."""
    events = await Service(CHAMPION, BOLD, exploration=Exploration(epsilon=0.0, control_share=0.2)).play()
    check(events)
    assert min(one.propensity for one in events) == pytest.approx(0.2 / 5)


async def test_segments_that_explore_in_their_own_way():
    wild = Segment(name="wild", units_to=0.5, exploration=ExplorationConfig(scheme="uniform"))
    events = await Service(CHAMPION, BOLD, exploring=Exploring(segments=(wild,))).play()
    check(events)
    assert {one.segment for one in events} == {"", "wild"}


async def test_what_a_rule_answers():
    """Certain, and so are the slots after it, in its order; it teaches nothing."""

    def gift(device):
        return ["a3", "a1"] if device == "ios" else None

    events = await Service(CHAMPION, BOLD, rules={"gift": gift}).play(limit=2)
    check(events)
    ruled = [one for one in events if one.rule]
    assert len(ruled) == DECISIONS / 2
    for one in ruled:
        assert (one.source, one.arm, one.propensity, one.learn) == ("pre_policy", "a3", 1.0, False)
        assert [(slot.arm, slot.propensity) for slot in one.slots] == [("a1", 1.0)]


async def test_every_slot_has_the_probability_of_its_arm_given_those_before():
    """Three slots of a mixture: each is a decision of its own among the arms that are left."""
    events = await Service(CHAMPION, BOLD).play(limit=3)
    check(events)
    for number in (1, 2):
        after = defaultdict(list)
        for event in events:
            one = slot_event(event, number)
            pmf, seed = pmf_of_event(one), seed_of_slot(int(event.seed), number)
            assert (draw(pmf, seed), float(pmf[one.arm_index])) == (one.arm_index, one.propensity)
            after[one.arms, event.context["device"]].append((one.arm_index, pmf))
        for group in after.values():
            counts, pmf = np.bincount([arm for arm, _ in group], minlength=5 - number), group[0][1]
            assert frequent(counts, pmf, len(group), len(after))


async def test_arms_of_the_request_and_without_what_it_excludes():
    events = await Service(CHAMPION, BOLD).play(arms=["a4", "a1", "a0", "new"], exclude=["a0"])
    check(events)
    assert {one.arms for one in events} == {("a4", "a1", "new")}


async def test_a_share_of_the_log_is_kept_whatever_was_drawn():
    """Overload leaves decisions out of the log with a chance that it logs, and that has nothing to do with
    their arms: what is logged has the frequencies of the pmf, and there is as much of it as it says."""
    service = Service(CHAMPION, BOLD, share=0.4)
    events = await service.play(2 * DECISIONS)
    check(events, least=1)
    assert {one.inclusion_probability for one in events} == {0.4}
    assert len(events) + service.log.unlogged == 2 * DECISIONS
    assert frequent(np.array([len(events)]), np.array([0.4]), 2 * DECISIONS, 1)


async def test_what_a_rule_answers_is_logged_with_its_share_of_the_share():
    service = Service(share=0.5, rules={"gift": lambda: "a2"})
    application = msgspec.structs.replace(
        service.decider.application,
        rules=msgspec.structs.replace(service.decider.application.rules, log_share=0.5),
    )
    service.decider = msgspec.structs.replace(service.decider, application=application)
    events = await service.play(2 * DECISIONS)
    assert {(one.inclusion_probability, one.propensity) for one in events} == {(0.25, 1.0)}
    assert frequent(np.array([len(events)]), np.array([0.25]), 2 * DECISIONS, 1)


async def test_what_is_spooled_while_the_store_is_away(tmp_path):
    """The spool has the same decision, byte for byte, that is sent when the store is back."""
    loop = asyncio.get_running_loop()
    guard = Guard("store", None, loop.time, lambda *_: None)
    while guard.closed:
        guard.bad()
    spool = Spool(tmp_path, 1 << 26, 60.0, lambda: 1_700_000_000_000)
    service = Service(CHAMPION, BOLD, OWN, log=EventLog(None, Application(name="bench"), 128, guard, spool))
    for start in range(0, DECISIONS, 400):
        await asyncio.gather(*[decide(service.decider, request(n)) for n in range(start, start + 400)])
    waiting = [decode_decision(held.record.body) for held in spool.first(DECISIONS).values()]
    spool.settle(list(spool.first(DECISIONS)))
    await spool.close()
    check(waiting)


@pytest.mark.parametrize("models", [(CHAMPION,), (CHAMPION, BOLD)])
async def test_decisions_whose_scores_come_back_as_one_array(models):
    """Made probabilities, and drawn from, together: each is what it would be alone. Some have fewer arms."""
    service = Service(*models, containers={"": Together("")})
    for start in range(0, 2 * DECISIONS, 400):
        asked = [
            request(n, limit=1 + n // 2 % 2, exclude=["a2"] if n // 4 % 2 else [])
            for n in range(start, start + 400)
        ]
        await asyncio.gather(*[decide(service.decider, one) for one in asked])
    groups = check(service.log.events, least=2 * DECISIONS)
    assert {len(models[0][4]) for models, *_ in groups} == {16, 20}


async def test_recommendations_of_one_call():
    service = Service(CHAMPION, BOLD)
    for start in range(0, DECISIONS, 400):
        batch = RecommendationBatch(requests=[request(n) for n in range(start, start + 400)])
        await decide_all(lambda one: decide(service.decider, one), batch)
    check(service.log.events)


async def test_a_repeat_tells_what_was_drawn_the_first_time_and_logs_nothing():
    """The second draw is shown to nobody, so it takes no part in the probability of the first."""
    service = Service(CHAMPION, BOLD)
    first = [await decide(service.decider, request(n, decision_id="k")) for n in range(200)]
    again = [await decide(service.decider, request(n, decision_id="k")) for n in range(200)]
    check(service.log.events, least=200)
    assert len(service.log.events) == 200
    assert {one.source for one in again} == {"repeat"}
    for old, new in zip(first, again, strict=True):
        assert (new.decision_id, new.arm, new.probability) == (old.decision_id, old.arm, old.probability)
        assert new.ranking == old.ranking
