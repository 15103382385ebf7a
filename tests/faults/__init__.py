"""Faults: what must hold whatever dies wherever, and the machinery that tries to break it.

=====================  =====================================================================================
``machine.py``         random calls of every script on the real store, 1 to 64 partitions, against a model
``simulation.py``      one seed: customers, learners and a sidecar take turns on the real store; replies are
                       lost, learners die or pause between any two commands, disks fill up
``keepers.py``         compact the log while it is written, in a third of the seeds
``checker.py``         the invariants, over store, Parquet and checkpoints, when a seed is over
``spooling.py``        one seed of a service whose store is away: what it writes down, and how that is sent
``mutants.py``         wrong variants of the product; the seeds must catch each of them
``processes_run.py``   real processes under load: kill -9, SIGSTOP, lost replies, power loss, full disk
=====================  =====================================================================================

The invariants, by their number wherever one is broken:

I1  one row for each accepted decision.
I2  one effect on the model for each row that is to be learnt.
I3  each acknowledged reward is in exactly one of row, late log and dead letters.
I4  weights are a function of the log: trained again they are the same, to the last bit.
I5  versions, epochs and positions never fall.
I6  the books are 0 at rest.
I7  a call is answered, whatever is broken.
I8  what the store keeps is bounded: everything else was trimmed, or will expire.
I9  nobody else's data is touched.
"""
