"""Which nodes a run waited for, what the others had to spare, and what it would have taken otherwise.

All of it is worked out from the timeline of one run; nothing is fetched again. What came of the nodes is
taken as it was: a node that would have been quicker than its timeout is quicker here, and has still timed
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from feature_graph.errors import BadRun, FetchTimedOut
from feature_graph.outcome import Status
from feature_graph.retrace import Course, Story, retrace, story_of

if TYPE_CHECKING:
    from feature_graph.resolution import Resolution


class Leg(NamedTuple):
    """One node of the critical path, in seconds since the run began."""

    name: str
    start_s: float
    """When it began its own work; a branch or a first_of has none."""
    end_s: float
    waited_s: float
    """Time that it was ready and the loop busy with something else."""
    status: Status


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A run beside the one that it might have been."""

    changes_s: Mapping[str, float]
    took_s: float
    would_take_s: float
    settled_s: Mapping[str, float]
    """When each goal would have had its value or its reason."""
    uncertain: tuple[str, ...]
    """Changed nodes that met a timeout or the deadline, then or now: they might have come out otherwise."""

    @property
    def faster_s(self) -> float:
        """Seconds won; below zero, lost."""
        return self.took_s - self.would_take_s

    def __str__(self) -> str:
        changes = " and ".join(f"{name!r} been {_told(-by_s)}" for name, by_s in self.changes_s.items())
        would = f"had {changes or 'nothing changed'}, the run would be {_told(self.faster_s)}"
        doubt = f" (unless {', '.join(self.uncertain)} came out otherwise)" if self.uncertain else ""
        return f"{would}: {self.would_take_s * 1000:.1f} ms instead of {self.took_s * 1000:.1f} ms{doubt}"


def critical_path(resolution: Resolution, goal: str | None = None) -> tuple[Leg, ...]:
    """The chain of nodes that made the run as long as it was: each began when the one before it settled.

    Args:
        resolution: a run.
        goal: the goal to explain; by default the one that settled last.

    Raises:
        BadRun: ``goal`` was not a goal of this run.
    """
    story = story_of(resolution)
    course = retrace(story)
    if goal is not None and goal not in story.goals:
        raise BadRun(f"{goal!r} is no goal of this run; goals: {', '.join(story.goals) or 'none'}")
    name = goal if goal is not None else _last(story.goals, course)
    path: list[Leg] = []
    while name is not None and name in course.settled:
        end_s = course.settled[name]
        start_s = course.started.get(name, end_s)
        path.append(Leg(name, start_s, end_s, course.lag_s.get(name, 0.0), story.outcomes[name].status))
        name = course.cause[name]
    return tuple(reversed(path))


def slack(resolution: Resolution) -> dict[str, float]:
    """Node to the seconds that it alone could have taken longer without the run being later; at least that.

    Zero on the critical path; inf for what settled and no goal waited for. Nodes that the run ended, or
    never began, are left out.
    """
    story = story_of(resolution)
    course = retrace(story)
    latest_s = dict.fromkeys(course.settled, inf)
    whole_s = course.took_s(story.goals)
    for goal in story.goals:
        if goal in latest_s:
            latest_s[goal] = whole_s
    for name in reversed(course.settled):
        ready_by_s = latest_s[name] - _after_ready_s(name, course, story)
        for needed in course.held_by[name]:
            if needed in latest_s:
                latest_s[needed] = min(latest_s[needed], ready_by_s)
    return {name: latest_s[name] - settled_s for name, settled_s in course.settled.items()}


def what_if(resolution: Resolution, changes_s: Mapping[str, float]) -> WhatIf:
    """The run again, with some nodes slower or quicker by so many seconds: ``{"profile": -0.02}``.

    Exact as long as all that ran comes out as it did and branches go where they went; time that nodes were
    ready and the loop was busy is taken to stay the same.

    Raises:
        BadRun: a changed node did not run in this run, or takes no time of its own.
    """
    story = story_of(resolution)
    as_it_was = retrace(story)
    _refuse_idle(changes_s, as_it_was, story)
    course = retrace(story, changes_s, as_it_was)
    goals = {goal: course.settled[goal] for goal in story.goals if goal in course.settled}
    doubtful = tuple(name for name in changes_s if _is_doubtful(name, changes_s[name], story))
    return WhatIf(dict(changes_s), as_it_was.took_s(story.goals), course.took_s(story.goals), goals, doubtful)


def _last(goals: Iterable[str], course: Course) -> str | None:
    settled = [goal for goal in goals if goal in course.settled]
    return max(settled, key=lambda goal: course.settled[goal], default=None)


def _after_ready_s(name: str, course: Course, story: Story) -> float:
    """Seconds between being ready and having settled; none for what the deadline ended."""
    if name not in course.started or story.met_the_deadline(name):
        return 0.0
    return course.settled[name] - course.started[name] + course.lag_s.get(name, 0.0)


def _refuse_idle(changes_s: Mapping[str, float], course: Course, story: Story) -> None:
    for name in changes_s:
        if name not in course.started:
            why = "did not run to its end" if name in story.nodes else "is no node of this graph"
            why = "takes no time of its own" if name in course.settled else why
            raise BadRun(f"{name!r} {why}; legal: {', '.join(course.started) or 'none, as nothing ran'}")


def _is_doubtful(name: str, by_s: float, story: Story) -> bool:
    span, error = story.spans[name], story.outcomes[name].error
    if isinstance(error, FetchTimedOut) and story.outcomes[name].root == name:
        return True
    timeout_s: float = getattr(story.nodes[name], "timeout_s", None) or inf
    return span.end_s - span.start_s + by_s >= timeout_s


def _told(faster_s: float) -> str:
    return f"{abs(faster_s) * 1000:.1f} ms {'slower' if faster_s < 0 else 'faster'}"
