"""Blocks of a corpus become parts of a run on a cluster.

The index travels once to each node, where all workers of the node read the same copy of its
vectors; each worker loads the embedder once. A block is in the hands of one worker at a time, and
its part arrives here whole or not at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ragemo.errors import ModelError
from ragemo.pipeline.cluster.connection import Cluster, outcome
from ragemo.pipeline.cluster.pieces import check_pieces, in_pieces
from ragemo.pipeline.plan import fitted_for
from ragemo.pipeline.streaming import Labeller, MakeParts
from ragemo.runs.parts import Part
from ragemo.types import Corpus

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

AHEAD = 2
"""Blocks that a worker is given at once, so that it need not wait for the next one."""


class BlockWorker:
    """An actor that makes parts; it loads what it needs when it is first asked for one."""

    def __init__(self) -> None:
        self._labeller: Labeller | None = None

    def part(self, job: list[ObjectRef], number: int, block: Corpus) -> Part:
        """What a block becomes.

        Args:
            job: reference to a `Labeller`, in a list, so that it does not come with every call.
            number, block: as in `parts_here`.
        """
        if self._labeller is None:
            self._labeller = _labeller(job[0])
        return self._labeller.part(self._labeller.plan(number, block))


def _labeller(job: ObjectRef) -> Labeller:
    """A labeller whose arrays are those of the node; its embedder is loaded here."""
    import ray

    try:
        found: Labeller = ray.get(job)
    except ray.exceptions.RaySystemError as error:
        reason = str(error).strip().splitlines()[0].removeprefix("System error: ")
        raise ModelError(f"a worker of the cluster cannot load what it needs: {reason}") from None
    return found


def parts_on(cluster: Cluster, index_shards: int | None = None) -> MakeParts:
    """Makes parts on a cluster, in the order in which they are ready.

    Args:
        cluster: of Ray.
        index_shards: into how many pieces the index's vectors are cut, each of which lies on one
            node only, see `in_pieces`; None: they lie whole on every node.

    Blocks are read no further ahead than workers have hands, so memory does not grow with them.
    """

    def parts(
        labeller: Labeller, blocks: Iterable[tuple[int, Corpus]]
    ) -> Generator[tuple[int, Part]]:
        import ray

        with ExitStack() as until_done:
            if index_shards is not None:
                settings, kinship = labeller.settings, labeller.outline.survey.kinship
                check_pieces(labeller.index, settings)
                index = fitted_for(labeller.index, settings, kinship)
                apart = until_done.enter_context(in_pieces(cluster, index, index_shards))
                labeller = replace(labeller, index=apart)
            job = ray.put(labeller)
            workers = until_done.enter_context(cluster.actors(BlockWorker))
            free: deque[ActorHandle] = deque(workers * AHEAD)
            under_way: dict[ObjectRef, tuple[int, ActorHandle]] = {}

            def next_ready() -> tuple[int, Part]:
                ready, _ = ray.wait(list(under_way))
                number, worker = under_way.pop(ready[0])
                free.append(worker)
                return number, outcome(ready[0])

            for number, block in blocks:
                if not free:
                    yield next_ready()
                worker = free.popleft()
                under_way[worker.part.remote([job], number, block)] = number, worker
            while under_way:
                yield next_ready()

    return parts
