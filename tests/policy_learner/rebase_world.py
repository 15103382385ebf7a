"""Bases of the tests' small application, trained and offered as ``sidearm train`` does it."""

from __future__ import annotations

from pathlib import Path

from policy_learner.rebase import offers
from policy_learner.rebase.base_training import Job, Span, bench_of, finish, plan_of
from policy_learner.rebase.candidates import Variant
from policy_learner.rebase.offers import Offer
from tests.policy_learner.world import World

ALL = Span()


def checkpoints(world: World) -> Path:
    return world.data.checkpoints("world")


def job_of(world: World, *variants: Variant, newer_share: float = 0.25, span: Span = ALL) -> Job:
    return Job(world.application, world.log, span, variants or (Variant(2, 0.2),), newer_share)


def train_base(world: World, *variants: Variant, span: Span = ALL) -> str:
    """A base of the log as it is, without the offline evaluation; its id."""
    job = job_of(world, *variants, span=span)
    plan, bench = plan_of(job), bench_of(job, lambda rows: None)
    candidates = bench.candidates(job.variants)
    bench.train(candidates, plan.older)
    bench.test(candidates, plan.newer)
    return finish(job, plan, bench, candidates[0])


def offer_base(world: World, base: str, at_ms: int = 1) -> None:
    offers.make_offer(checkpoints(world), Offer(base=base, at_ms=at_ms))
