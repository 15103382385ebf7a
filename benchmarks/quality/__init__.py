"""How well the platform learns: its whole loop in lockstep with a world whose truth is known.

================  ==========================================================================================
``worlds.py``     who comes, what each arm would earn and what would be heard of it: the shop, three data sets
``lockstep.py``   decide, reward, pass time, learn: the platform without its processes, all else as it is
``yardstick.py``  Vowpal Wabbit's own contextual bandit on the same rounds
``regret.py``     the ratio of two regrets, with an interval that fails with a stated probability
``drift.py``      the tastes of two segments are swapped, and the model must follow
``suite.py``      ``make bench ARGS=quality``
================  ==========================================================================================
"""
