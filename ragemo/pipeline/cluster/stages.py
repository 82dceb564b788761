"""What is read goes from stage to stage of a Ray dataset, each a pool of actors.

Whatever is on its way is an item of a row of its own, and travels by itself. An error of ragemo's
travels as an item, too, for Ray Data would print its traceback. What was on a machine that is lost
is made again, by Ray Data, from what it was made of; what comes out comes once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ragemo.errors import ModelError, RagemoError
from ragemo.pipeline.cluster.connection import in_words

if TYPE_CHECKING:
    from ray import ObjectRef

AHEAD = 2
"""Items that an actor is given at once, so that it need not wait for the next one."""

ROOM_TAKEN = 0.25
"""Of a core, by an actor, as Ray reckons. Half of it would deal actors out just by cores, and leave
those of a lost machine no room on the others, for which Ray Data waits: so half of the cores may
be lost, and at worst a core has the actors of two."""

STORED = 64 * 2**20
"""Bytes for each actor that items on their way may take in Ray's stores, all machines together."""

ITEM = "item"
"""The one column."""

Row = Mapping[str, Any]


class Step:
    """An actor of a stage; it takes what it needs when the first item comes.

    Args:
        known: reference to what makes one item of another, in a list, for else it would come with
            every actor.
    """

    def __init__(self, known: Sequence[ObjectRef]) -> None:
        self._reference = known

    def __call__(self, row: Row) -> Row:
        """One item becomes another; an error stays what it is."""
        item = row[ITEM]
        if isinstance(item, RagemoError):
            return {ITEM: item}
        try:
            return {ITEM: self._make(item)}
        except RagemoError as error:
            return {ITEM: error}

    @cached_property
    def _make(self) -> Callable[[Any], Any]:
        found: Callable[[Any], Any] = taken(self._reference)
        return found


@dataclass(frozen=True)
class Stage:
    """A pool of actors.

    Attributes:
        known: by all of them; it travels once to each machine, where they share it.
        kind: of actor; its constructor takes a reference to what is known, in a list.
        ahead: how many items each is given at once.
        at_once: how many of these it works on at once.
    """

    known: Any
    kind: type = Step
    ahead: int = AHEAD
    at_once: int = 1


def taken(reference: Sequence[ObjectRef]) -> Any:
    """What lies in the node's store, its arrays where they lie; an embedder is loaded here.

    Raises:
        ModelError: if it cannot be.
    """
    import ray

    try:
        return ray.get(reference[0])
    except ray.exceptions.RaySystemError as error:
        reason = str(error).strip().splitlines()[0].removeprefix("System error: ")
        raise ModelError(f"a worker of the cluster cannot load what it needs: {reason}") from None


def through(
    read: Callable[[int], Iterable[Any]], stages: Sequence[Stage], *, actors: int, readers: int = 1
) -> Generator[Any]:
    """What comes out of the last stage, in the order in which it is ready.

    Args:
        read: makes the items of a reader, on this machine, in a process of its own; no further
            ahead than there is room. If the process is lost another one begins anew, and has to
            make the same items.
        stages: that they go through.
        actors: in each stage.
        readers: how many there are, with numbers from 0 on.

    Raises:
        RagemoError: the first error that comes out; or if Ray could not do its work.
    """
    import ray
    from ray.data import ActorPoolStrategy, ExecutionResources

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # it logs what it raises
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}

    def items(row: Row) -> Iterator[Row]:
        try:
            with in_words():
                for item in read(row["reader"]):
                    yield {ITEM: item}
        except RagemoError as error:
            yield {ITEM: error}

    dataset = ray.data.from_items(
        [{"reader": number} for number in range(readers)], override_num_blocks=readers
    ).flat_map(items, num_cpus=0, label_selector=here)
    for stage in stages:
        dataset = dataset.map(
            stage.kind,
            fn_constructor_args=([ray.put(stage.known)],),
            compute=ActorPoolStrategy(
                size=actors,
                max_tasks_in_flight_per_actor=stage.ahead,
                max_concurrent_calls_per_actor=stage.at_once,
            ),
            num_cpus=ROOM_TAKEN,
        )
    dataset.context.execution_options.resource_limits = ExecutionResources(
        object_store_memory=len(stages) * actors * STORED
    )
    dataset.context.enable_progress_bars = False
    dataset.context.raise_original_map_exception = True
    dataset.context.target_max_block_size = 1  # byte: every item is a block, and travels alone
    # Without looking ahead, or an item would be held back until the next one is here.
    batches = dataset.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0)
    with in_words(), closing(iter(batches)) as found:
        for batch in found:
            for item in batch[ITEM]:
                if isinstance(item, RagemoError):
                    raise item
                yield item
