"""What each endpoint does with a request: from bytes to bytes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from decision_service.api.arms import ArmFeatures, ArmPatch, ArmsRequest
from decision_service.api.problems import Health
from decision_service.api.recommendations import (
    ActivationRequest,
    Recommendation,
    RecommendationRequest,
)
from decision_service.api.rewards import RewardBatch, RewardReceipts, RewardRequest
from decision_service.batch import RecommendationBatch, decide_all
from decision_service.batcher import Batcher
from decision_service.case import Outcome
from decision_service.decoding import decode
from decision_service.endpoint import Request, Tell
from decision_service.errors import BadRequest, FieldError, NotReady
from decision_service.exploration_desk import ExplorationRequest
from decision_service.model_admin import ModelChange, ModelRequest
from decision_service.problem import HttpAnswer
from decision_service.service import Service

_encode = msgspec.json.Encoder().encode
_recommendation = msgspec.json.Decoder(RecommendationRequest)
_recommendations = msgspec.json.Decoder(RecommendationBatch)
_reward = msgspec.json.Decoder(RewardRequest)
_rewards = msgspec.json.Decoder(RewardBatch)
_arms = msgspec.json.Decoder(ArmsRequest)
_arm = msgspec.json.Decoder(ArmFeatures)
_patch = msgspec.json.Decoder(ArmPatch)
_activation = msgspec.json.Decoder(ActivationRequest)
_exploration = msgspec.json.Decoder(ExplorationRequest)
_model = msgspec.json.Decoder(ModelRequest)
_model_change = msgspec.json.Decoder(ModelChange)

_MAX_KEY = 256
_PROBES = 1024


class Handlers:
    """One method an endpoint.

    Scrapes need no key, so those that come together share one look at the store: nobody's curiosity takes
    the connections that deciding needs.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._scrapes = Batcher(self._scrape, max_batch=_PROBES)

    async def recommend(self, request: Request) -> HttpAnswer:
        """The hot path: see ``decide.py``."""
        return HttpAnswer(201, _encode(await self._service.asking.ask(decode(_recommendation, request.body))))

    def recommend_at_once(self, request: Request, tell: Tell) -> None:
        """The same without a task for each request.

        Raises:
            BadRequest: it is none.
        """

        def answer(outcome: Outcome | BaseException) -> None:
            tell(HttpAnswer(201, _encode(outcome)) if isinstance(outcome, Recommendation) else outcome)

        self._service.asking.put(decode(_recommendation, request.body), answer)

    async def recommend_batch(self, request: Request) -> HttpAnswer:
        """Each decided as if it came alone."""
        batch = decode(_recommendations, request.body)
        return HttpAnswer(200, _encode(await decide_all(self._service.deciding.ask, batch)))

    async def reward(self, request: Request) -> HttpAnswer:
        """One, under the key of its body or of the header."""
        reward = decode(_reward, request.body)
        receipts = await self._service.rewarder.take([reward], _idempotency_key(request), lambda _: "")
        return HttpAnswer(202, _encode(receipts[0]))

    async def reward_batch(self, request: Request) -> HttpAnswer:
        """All of them, or none when one breaks the schema."""
        batch = decode(_rewards, request.body)
        receipts = await self._service.rewarder.take(
            batch.rewards, _idempotency_key(request), lambda place: f"/rewards/{place}"
        )
        return HttpAnswer(202, _encode(RewardReceipts(rewards=receipts)))

    async def activate(self, request: Request) -> HttpAnswer:
        """Without a body the decision's end stays what it is."""
        asked = decode(_activation, request.body) if request.body else ActivationRequest()
        return HttpAnswer(200, _encode(await self._service.activator.activate(request.argument, asked)))

    async def decision(self, request: Request) -> HttpAnswer:
        """What was decided."""
        return HttpAnswer(200, _encode(await self._service.decisions.look_up(request.argument)))

    async def explain(self, request: Request) -> HttpAnswer:
        """Why."""
        return HttpAnswer(200, _encode(await self._service.explanations.explain(request.argument)))

    async def exploration(self, request: Request) -> HttpAnswer:
        """How the application explores."""
        return HttpAnswer(200, _encode(await self._service.exploration.look()))

    async def explore(self, request: Request) -> HttpAnswer:
        """Replace it."""
        asked = decode(_exploration, request.body)
        return HttpAnswer(200, _encode(await self._service.exploration.replace(asked)))

    async def models(self, request: Request) -> HttpAnswer:
        """Who scores."""
        return HttpAnswer(200, _encode(await self._service.models.look()))

    async def arms(self, request: Request) -> HttpAnswer:
        """The catalogue."""
        return HttpAnswer(200, _encode(await self._service.arms.view()))

    async def change_arms(self, request: Request) -> HttpAnswer:
        """Several arms at once."""
        return HttpAnswer(200, _encode(await self._service.arms.change(decode(_arms, request.body))))

    async def put_arm(self, request: Request) -> HttpAnswer:
        """Add one, or replace it."""
        given = decode(_arm, request.body)
        return HttpAnswer(200, _encode(await self._service.arms.put(request.argument, given)))

    async def patch_arm(self, request: Request) -> HttpAnswer:
        """Some features of one."""
        given = decode(_patch, request.body)
        return HttpAnswer(200, _encode(await self._service.arms.patch(request.argument, given)))

    async def retire_arm(self, request: Request) -> HttpAnswer:
        """Show it no more."""
        return HttpAnswer(200, _encode(await self._service.arms.retire(request.argument)))

    async def deploy(self, request: Request) -> HttpAnswer:
        """Put a model on the roster."""
        asked = decode(_model, request.body)
        return HttpAnswer(200, _encode(await self._service.model_admin.deploy(request.argument, asked)))

    async def alter(self, request: Request) -> HttpAnswer:
        """Change some of it."""
        asked = decode(_model_change, request.body)
        return HttpAnswer(200, _encode(await self._service.model_admin.alter(request.argument, asked)))

    async def undeploy(self, request: Request) -> HttpAnswer:
        """Take it off."""
        return HttpAnswer(200, _encode(await self._service.model_admin.undeploy(request.argument)))

    async def promote(self, request: Request) -> HttpAnswer:
        """Make it the champion."""
        return HttpAnswer(200, _encode(await self._service.model_admin.promote(request.argument)))

    async def livez(self, request: Request) -> HttpAnswer:
        """Whether the process is alive."""
        return HttpAnswer(200, _encode(Health(status="ok")))

    async def readyz(self, request: Request) -> HttpAnswer:
        """Without the sidecar the backstop answers, without the store the spool takes what is decided."""
        if not self._service.ready:
            raise NotReady("it is being stopped" if self._service.stopping else "the store was not seen yet")
        return HttpAnswer(200, _encode(Health(status="ok")))

    async def metrics(self, request: Request) -> HttpAnswer:
        """Figures for Prometheus."""
        text = await self._scrapes.ask(None)
        return HttpAnswer(200, text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _scrape(self, probes: Sequence[None]) -> list[bytes]:
        return [await self._service.all_figures()] * len(probes)


def _idempotency_key(request: Request) -> str:
    key = request.header(b"idempotency-key").strip()
    if len(key) > _MAX_KEY or not key.isprintable():
        raise BadRequest(FieldError("", f"Idempotency-Key: legal: at most {_MAX_KEY} printable characters"))
    return key
