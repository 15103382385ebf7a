"""The sidecar and the two floors that every process of the platform shares.

- ``sidecar.contracts``: every byte that leaves a process, described once. Imports nothing of ours.
- ``sidecar.policy``: features to scores to probabilities to an arm, written once. Pure.
- ``sidecar.server``: the minimal model container, a process on top of the other two.
"""
