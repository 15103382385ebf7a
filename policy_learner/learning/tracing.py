"""Spans of training: what a traced decision came to, in the trace that it began with.

A stretch of the log is trained on in one go, which is a span of a trace of its own, linked with every traced
example in it; each of these has a span below its decision's, linked with the stretch's. The hours between are
the horizon.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from policy_learner.learning.teaching import TRAINED
from sidecar.contracts.tracing import Tracers, context_of

if TYPE_CHECKING:
    from policy_learner.join.source import Chunk, Lesson


class TrainingTraces:
    """Of one learner.

    Args:
        tracers: make spans.
    """

    def __init__(self, tracers: Tracers) -> None:
        self._tracers = tracers
        self._begun_ns: dict[tuple[int, str], int] = {}

    def begun(self, chunk: Chunk) -> None:
        """A stretch was handed to the trainer."""
        if any(_traced(chunk)):
            self._begun_ns[chunk.partition, chunk.first] = time.time_ns()

    def learnt(self, chunk: Chunk, refused: Collection[int]) -> None:
        """It was trained on, but for the examples at these places."""
        began_ns = self._begun_ns.pop((chunk.partition, chunk.first), None)
        if began_ns is None:
            return
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, get_current_span

        traced = [(lesson, context_of(lesson.joined.decision.trace)) for lesson in _traced(chunk, refused)]
        told = {"sidearm.partition": chunk.partition, "sidearm.examples": len(chunk.lessons)}
        links = [Link(get_current_span(context).get_span_context()) for _, context in traced]
        whole = self._tracers.many.start_span(
            "train together", Context(), links=links, attributes=told, start_time=began_ns
        )
        ended_ns = time.time_ns()
        for lesson, context in traced:
            with_all = [Link(whole.get_span_context())]
            span = self._tracers.one.start_span(
                "train", context, attributes=_told(lesson), links=with_all, start_time=began_ns
            )
            span.end(ended_ns)
        whole.end(ended_ns)


def _traced(chunk: Chunk, refused: Collection[int] = ()) -> Iterator[Lesson]:
    """Those that teach something, and that somebody looks at."""
    for place, lesson in enumerate(chunk.lessons):
        if lesson.joined.decision.trace and lesson.taught.effect in TRAINED and place not in refused:
            yield lesson


def _told(lesson: Lesson) -> dict[str, str | float | int]:
    joined = lesson.joined
    return {
        "sidearm.decision_id": joined.decision.decision_id,
        "sidearm.kind": joined.kind,
        "sidearm.position": joined.position,
        "sidearm.reward": lesson.taught.reward,
    }
