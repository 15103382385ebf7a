"""The learner as a whole, with the real store and real processes, beside yardsticks of the same run.

===============  ===========================================================================================
``loop.py``      due decisions to published weights and Parquet, beside VW's command-line driver
``pending.py``   a million decisions that wait: bytes of the store for each, and how fast they are closed
``restart.py``   kill -9, and how long until everything is caught up
``freshness.py`` from an acknowledged reward to weights in the sidecar that have learnt from it
===============  ===========================================================================================
"""
