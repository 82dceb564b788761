"""A Ray cluster does the work of a run, and this process keeps the run's folder.

connection   join a cluster, or start one on this machine; actors, and what comes of their calls
stages       blocks of a corpus become parts of a run in stages of Ray Data: embed, label
pieces       the index's vectors lie in pieces on the cluster, and are searched there
asking       language models are asked by workers
pace         how fast, for all workers together

Whatever a worker makes is whole when it arrives, and only this process writes it down: a worker
that is lost takes nothing with it but the time, and its work is done again by another one.

Language models are asked one call at a time by a pool of actors, and not in a stage. A call is paid
for, so its answer has to be on disk here before anything else happens, and what is asked next about
an utterance depends on it: as stages, every further answer would be another dataset, whose actors
load their models again. A stage is also slower, and holds more answers that are not here yet, which
a run that is killed would pay for twice (`scripts/bench/ray_calls.py`).
"""
