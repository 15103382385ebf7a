"""Intervals, one kind a file. Each takes sums and a fit, and answers with two bounds.

===================  =================================================================================
``normal``           gaussian for means, delta method for ratios: right when effective rows are many
``normal`` on        cluster-robust: right when rows of a user depend on each other
``clustered`` sums
``bootstrap``        buckets of units resampled: no formula, the same assumption
``bernstein``        for bounded rewards, right at any number of rows, and wide
``clopper_pearson``  for rewards in [0, 1], made for rare ones
``sequence``         right at every look, for numbers that are looked at every day
===================  =================================================================================
"""
