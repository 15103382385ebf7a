"""The schedule of rebasing: when it begins, what it does when it was not there, and what it says."""

from __future__ import annotations

import pytest

from policy_learner.rebase.nightly import Nightly
from policy_learner.settings import LearnerSettings, learner_settings
from sidecar.contracts.daily import due_before
from sidecar.contracts.errors import BadSettings
from tests.waiting import until

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
NIGHT_MS = 20_000 * DAY_MS + 3 * HOUR_MS


class Watch:
    """A schedule on a clock of its own; what it starts is a program that ends with a code."""

    def __init__(self, folder, at="03:00"):
        self.now_ms = NIGHT_MS - HOUR_MS
        self.folder, self.settings = folder, LearnerSettings(rebase_at=at)
        self.begun = []

    def nightly(self, code=0):
        watch, arguments = self, ("app",)

        class Counted(Nightly):
            def _start(self, command):
                watch.begun.append(command)
                return super()._start(["/bin/sh", "-c", f"exit {code}"])

        return Counted(self.folder, arguments, self.settings, lambda: self.now_ms)


def ends(nightly):
    until(lambda: not nightly.is_going_on, what="ended")
    nightly.look()


def test_it_begins_once_when_the_time_comes(tmp_path):
    """Not before, not again on that day, and on the next day again."""
    watch = Watch(tmp_path)
    nightly = watch.nightly()
    nightly.look()
    assert not watch.begun
    for night in (1, 2):
        watch.now_ms = NIGHT_MS + (night - 1) * DAY_MS + 1
        nightly.look()
        ends(nightly)
        nightly.look()
        assert len(watch.begun) == night
    assert watch.begun[0][2:4] == ["policy_learner.rebase.train", watch.begun[0][3]]
    assert watch.begun[0][4:] == [
        "app", "--days", "30", "--epochs", "1", "--hand-over", "--wait", "0",
    ]  # fmt: skip


def test_a_learner_that_was_not_there_makes_up_for_it_once(tmp_path):
    """It slept through the night; its first start with the setting on begins nothing."""
    watch = Watch(tmp_path)
    watch.now_ms = NIGHT_MS + 5 * HOUR_MS
    watch.nightly().look()
    assert not watch.begun
    watch.now_ms += 2 * DAY_MS
    nightly = watch.nightly()
    nightly.look()
    ends(nightly)
    watch.nightly().look()
    assert len(watch.begun) == 1


def test_a_night_that_ends_badly_is_tried_again_three_times_in_all(tmp_path):
    """Also by a learner that was killed meanwhile; then it is said, and the next night comes."""
    watch = Watch(tmp_path)
    watch.nightly().look()
    watch.now_ms = NIGHT_MS
    for _ in range(5):
        nightly = watch.nightly(code=2)
        nightly.look()
        if nightly.is_going_on or nightly._child:
            ends(nightly)
            assert nightly.error == "rebase: training ended with code 2"
    assert len(watch.begun) == 3


def test_without_a_time_nothing_ever_begins(tmp_path):
    """The default."""
    watch = Watch(tmp_path, at="")
    nightly = watch.nightly()
    watch.now_ms += 10 * DAY_MS
    nightly.look()
    assert not watch.begun
    assert not list(tmp_path.iterdir())


def test_a_damaged_record_is_no_reason_to_begin(tmp_path):
    """Nor to fail."""
    watch = Watch(tmp_path)
    (tmp_path / "nightly.json").write_bytes(b"{")
    watch.nightly().look()
    assert not watch.begun


@pytest.mark.parametrize("at", ["24:00", "3:00", "03:60", "03:00 ", "soon"])
def test_another_time_is_refused_at_the_start(at):
    """With the setting's name."""
    with pytest.raises(BadSettings, match="rebase_at"):
        learner_settings({}, {"SIDEARM_LEARNER_REBASE_AT": at})


@pytest.mark.parametrize("at", ["00:00", "03:00", "23:59"])
def test_the_last_moment_is_never_in_the_future_nor_a_day_old(at):
    """Whatever the time of the day is."""
    for hour in range(48):
        now_ms = NIGHT_MS + hour * HOUR_MS
        assert 0 <= now_ms - due_before(at, now_ms) < DAY_MS
