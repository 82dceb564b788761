"""A Ray cluster does the work of a run, and this process keeps the run's folder.

connection   join a cluster, or start one on this machine; actors, and what comes of their calls
blocks       blocks of a corpus become parts of a run, whichever worker makes them
pieces       the index's vectors lie in pieces on the cluster, and are searched there
asking       language models are asked by workers
pace         how fast, for all workers together

Whatever a worker makes is whole when it arrives, and only this process writes it down: a worker
that is lost takes nothing with it but the time, and its work is done again by another one.

Actors are asked one call at a time; these are no stages of Ray Data. There, what a lost machine
held is made again from what it was made of: answers that were there would be asked for twice.
"""
