"""Admission: the limit follows lateness, and who is turned away first."""

from __future__ import annotations

from decision_service.admission import LATE, Admission


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def window(admission: Admission, clock: Clock, *, late: bool, answers: int = 20) -> None:
    """One window of answers, all late or none."""
    for _ in range(answers):
        admission.answered(LATE * 0.05 * (2.0 if late else 0.1), 0.05)
    clock.now_s += 1.0
    admission.answered(0.0, 0.05)


def test_reads_are_turned_away_first_and_rewards_last_and_probes_never():
    """Of a limit of ten, seven taken: no read; nine: no decision; ten: no reward."""
    admission = Admission(10, 1, Clock(), lambda _: None)
    refused_at = {}
    for taken in range(10):
        for rank in ("batch", "decide"):
            if not admission.enter(rank):
                refused_at.setdefault(rank, taken)
            else:
                admission.leave()
        assert admission.enter("reward")

    assert refused_at == {"batch": 7, "decide": 9}
    assert not admission.enter("reward")
    assert admission.enter("probe")


def test_the_limit_falls_while_answers_are_late_and_rises_when_it_is_used_up():
    """Down to its least and no further; up again to its most, and only if there is need."""
    told: list[float] = []
    clock = Clock()
    admission = Admission(100, 10, clock, told.append)

    for _ in range(50):
        window(admission, clock, late=True)
    assert admission.limit == 10
    for _ in range(5):
        window(admission, clock, late=False)
    assert admission.limit == 10  # nobody asked for more
    for _ in range(100):
        while admission.enter("decide"):
            pass
        window(admission, clock, late=False)
        while admission.under_way:
            admission.leave()

    assert admission.limit == 100
    assert (min(told), told[0], told[-1]) == (10, 100, 100)


def test_a_late_answer_now_and_then_changes_nothing():
    """A tenth of a window may be late: a slow disk is no overload."""
    clock = Clock()
    admission = Admission(100, 10, clock, lambda _: None)
    for place in range(100):
        admission.answered(10.0 if place % 11 == 0 else 0.001, 0.05)
    clock.now_s += 1.0
    admission.answered(0.001, 0.05)

    assert admission.limit == 100
