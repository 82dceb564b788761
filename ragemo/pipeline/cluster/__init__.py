"""A Ray cluster does the work of a run, and this process keeps the run's folder.

connection   join a cluster, or start one on this machine; actors, and what comes of their calls
stages       items go from stage to stage of Ray Data, each a pool of actors
labelling    blocks of a corpus become parts of a run in stages: embed, label
pieces       the index's vectors lie in pieces on the cluster, and are searched there
asking       language models are asked in a stage, as calls come up
feed         calls wait to be handed on to the workers
asker        who makes them
pace         how fast, for all workers together

Whatever a worker makes is whole when it arrives, and only this process writes it down: a worker
that is lost takes nothing with it but the time, and its work is done again by another one.
"""
