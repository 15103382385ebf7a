"""Reading the log back while somebody still writes it."""

from __future__ import annotations

import pytest

from policy_learner.archive.archive_reader import LogReader
from policy_learner.errors import CannotRebuild
from policy_learner.loop import drain, step
from tests.policy_learner.world import World


def test_a_reader_finds_files_that_are_younger_than_itself(store, data_folder):
    """A learner that starts reads what one before it writes meanwhile, and trims from the store."""
    world = World(store, data_folder, partitions=1)
    learner = world.learner()
    reader = LogReader(world.log, "world", 1)
    world.shop(3)
    while step(learner):
        pass
    first, last = store.xrange(world.partitions[0].examples)[0][0].decode(), learner.progress.positions[0]
    with pytest.raises(CannotRebuild, match="are not in the log"):
        reader.examples(0, first, last)
    drain(learner, lambda: True)
    assert len(reader.examples(0, first, last)) == 3
