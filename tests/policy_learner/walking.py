"""A learner taken through its loop by hand, and what it left in the log."""

from __future__ import annotations

import pyarrow.dataset as ds

from policy_learner.loop import drain, step


def steps(learner, most=50):
    """Steps until there is nothing to do."""
    for _ in range(most):
        if not step(learner):
            return
    raise AssertionError("the learner does not come to rest")


def stop(learner):
    drain(learner, lambda: True)


def rows(world, dataset="decisions"):
    return ds.dataset(world.log / dataset, partitioning="hive").to_table().to_pylist()
