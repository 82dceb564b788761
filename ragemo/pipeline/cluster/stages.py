"""Blocks of a corpus become parts of a run in stages of Ray Data.

    read    a task on this machine: blocks of the corpus, no further ahead than there is room
    embed   a pool of actors that have loaded the embedder: what is said in a block as vectors
    label   a pool of actors that have loaded the index: retrieve, vote, decide; a part of the run

Each pool has as many actors as there are cores. The index travels once to each node, where all
actors of the node read the same copy of its vectors. What was on a machine that is lost is made
again, by Ray Data, from what it was made of; a part arrives here whole or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ragemo.corpus.blocks import Blocks
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.errors import DataError, ModelError, RagemoError
from ragemo.pipeline.cluster.connection import Cluster, in_words
from ragemo.pipeline.cluster.pieces import check_pieces, in_pieces
from ragemo.pipeline.plan import fitted_for
from ragemo.pipeline.streaming import Labeller, MakeParts, Outline, numbered
from ragemo.retrieval.embedder import Embedder, Vectors
from ragemo.retrieval.retrieve import check_identity, probing_row
from ragemo.runs.parts import Part
from ragemo.settings import Settings
from ragemo.types import Corpus

if TYPE_CHECKING:
    from ray import ObjectRef

AHEAD = 2
"""Blocks that an actor is given at once, so that it need not wait for the next one."""

ROOM_TAKEN = 0.25
"""Of a core, by an actor, as Ray reckons. Half of it would deal actors out just by cores, and leave
those of a lost machine no room on the others, for which Ray Data waits: so half of the cores may
be lost, and at worst a core has the actors of two."""

STORED = 64 * 2**20
"""Bytes for each actor that blocks on their way may take in Ray's stores, all machines together."""

Row = Mapping[str, Any]
"""One row: the number of a block, and what became of it so far, or why nothing did."""


@dataclass(frozen=True)
class Heard:
    """A block, and all that is said in the dialogues of its targets.

    Attributes:
        block: the corpus's dialogues.
        texts: distinct ones.
        vectors: one for each, shape (len(texts), dimension).
    """

    block: Corpus
    texts: Sequence[str]
    vectors: Vectors


@dataclass(frozen=True)
class Listener:
    """Embeds what is said in a block; it needs to know nothing of the index's windows.

    Attributes:
        settings, outline: of the run.
        transcript: which one is embedded.
        probe: a text of the index, by whose vector the next stage sees whether these fit.
        wanted: `Index.embedder`.
        embedder: the index's, as this machine has it.
    """

    settings: Settings
    outline: Outline
    transcript: str
    probe: str
    wanted: Mapping[str, Any]
    embedder: Embedder

    @classmethod
    def of(cls, labeller: Labeller) -> Listener:
        """The one before a labeller."""
        index, settings = labeller.index, labeller.settings
        row = probing_row(index)
        return cls(
            settings,
            labeller.outline,
            settings.corpus.transcript or index.transcript,
            "" if row is None else index.turns[row].text,
            index.embedder,
            labeller.embedder,
        )

    def heard(self, number: int, block: Corpus) -> Heard:
        """What `Labeller.plan` will have embedded.

        Raises:
            IndexFolderError: if this machine's embedder is another one than the index's.
        """
        check_identity(self.wanted, self.embedder)
        wanted = self.outline.wanted(number, self.settings.limit)
        targets = islice((u for u in block.utterances if u.needs_prediction), wanted)
        dialogues = {utterance.dialogue_id for utterance in targets}
        chosen = choose_transcripts(
            [u for u in block.utterances if u.dialogue_id in dialogues],
            self.transcript,
            seed=self.settings.seed,
            systems=self.outline.survey.systems,
        )
        texts = [*dict.fromkeys((self.probe, *(transcript.text for transcript in chosen)))]
        return Heard(block, texts, self.embedder.embed(texts))


@dataclass(frozen=True)
class GivenVectors:
    """The embedder of the stage that embeds nothing.

    Attributes:
        identity, dimension: the embedder's of the stage before.
        known: text -> vector.
    """

    identity: dict[str, Any]
    dimension: int
    known: Mapping[str, Vectors] = field(default_factory=dict)

    def embed(
        self, texts: Sequence[str], progress: Callable[[int], None] = lambda done: None
    ) -> Vectors:
        """See `Embedder.embed`.

        Raises:
            KeyError: at a text that the stage before did not foresee.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self.known[text]
        progress(len(set(texts)))
        return vectors


def labelled(labeller: Labeller, number: int, heard: Heard) -> Part:
    """What a block becomes once it was heard; nothing is embedded any more."""
    known = dict(zip(heard.texts, heard.vectors, strict=True))
    given = GivenVectors(labeller.embedder.identity, labeller.embedder.dimension, known)
    labeller = replace(labeller, embedder=given)
    return labeller.part(labeller.plan(number, heard.block))


class Embedding:
    """The first pool's actors; one takes what it needs when the first block comes.

    Args:
        listener: reference to a `Listener`, in a list, for else it would come with every actor.
    """

    def __init__(self, listener: Sequence[ObjectRef]) -> None:
        self._reference = listener

    def __call__(self, row: Row) -> Row:
        """A corpus becomes `Heard`."""
        number, block = row["number"], row["block"]
        if isinstance(block, RagemoError):
            return {"number": number, "heard": block}
        try:
            return {"number": number, "heard": self._listener.heard(number, block)}
        except RagemoError as error:  # Ray Data would print its traceback
            return {"number": number, "heard": error}

    @cached_property
    def _listener(self) -> Listener:
        found: Listener = _taken(self._reference)
        return found


class Labelling:
    """The second pool's actors; likewise.

    Args:
        labeller: reference to a `Labeller`.
    """

    def __init__(self, labeller: Sequence[ObjectRef]) -> None:
        self._reference = labeller

    def __call__(self, row: Row) -> Row:
        """What was heard becomes a `Part`."""
        number, heard = row["number"], row["heard"]
        if isinstance(heard, RagemoError):
            return {"number": number, "part": heard}
        try:
            return {"number": number, "part": labelled(self._labeller, number, heard)}
        except RagemoError as error:
            return {"number": number, "part": error}

    @cached_property
    def _labeller(self) -> Labeller:
        found: Labeller = _taken(self._reference)
        return found


def _taken(reference: Sequence[ObjectRef]) -> Any:
    """What lies in the node's store, its arrays where they lie; an embedder is loaded here."""
    import ray

    try:
        return ray.get(reference[0])
    except ray.exceptions.RaySystemError as error:
        reason = str(error).strip().splitlines()[0].removeprefix("System error: ")
        raise ModelError(f"a worker of the cluster cannot load what it needs: {reason}") from None


def parts_on(cluster: Cluster, index_shards: int | None = None) -> MakeParts:
    """Makes parts on a cluster, in the order in which they are ready.

    Args:
        cluster: of Ray.
        index_shards: into how many pieces the index's vectors are cut, each of which lies on one
            node only, see `in_pieces`; None: they lie whole on every node.

    Blocks are read no further ahead than `STORED` allows, so memory does not grow with them; a
    `WholeCorpus` travels whole to the task that reads it.
    """

    def parts(
        labeller: Labeller, corpus: Blocks, numbers: Collection[int]
    ) -> Generator[tuple[int, Part]]:
        if not numbers:
            return
        with ExitStack() as until_done:
            listener = Listener.of(labeller)
            if index_shards is not None:
                settings, kinship = labeller.settings, labeller.outline.survey.kinship
                check_pieces(labeller.index, settings)
                index = fitted_for(labeller.index, settings, kinship)
                apart = until_done.enter_context(in_pieces(cluster, index, index_shards))
                labeller = replace(labeller, index=apart)
            given = GivenVectors(labeller.embedder.identity, labeller.embedder.dimension)
            dataset = _dataset(
                (corpus, labeller.outline.size, frozenset(numbers)),
                listener,
                replace(labeller, embedder=given),
                actors=min(cluster.workers, len(numbers)),
            )
            # Closed before the pieces are let go of, whoever stops early.
            rows = until_done.enter_context(closing(iter(dataset.iter_rows())))
            with in_words():
                for row in rows:
                    if isinstance(row["part"], RagemoError):
                        raise row["part"]
                    yield row["number"], row["part"]

    return parts


def _dataset(
    source: tuple[Blocks, int, Collection[int]],
    listener: Listener,
    labeller: Labeller,
    *,
    actors: int,
) -> Any:
    """The stages.

    Args:
        source: see `numbered`.
        listener, labeller: what the actors of the two pools know.
        actors: in each pool.
    """
    import ray
    from ray.data import ActorPoolStrategy, ExecutionResources

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # it logs what it raises
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    there = ray.put(source)

    def read(row: Row) -> Iterator[Row]:
        try:
            for number, block in numbered(*ray.get(there)):
                yield {"number": number, "block": block}
        except RagemoError as error:
            yield {"number": -1, "block": error}
        except OSError as error:
            yield {"number": -1, "block": DataError(f"the corpus cannot be read again: {error}")}

    pool = ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=AHEAD)
    dataset = ray.data.from_items([{"file": "corpus"}]).flat_map(
        read, num_cpus=0, label_selector=here
    )
    for stage, known in ((Embedding, listener), (Labelling, labeller)):
        dataset = dataset.map(
            stage,
            fn_constructor_args=([ray.put(known)],),
            compute=pool,
            num_cpus=ROOM_TAKEN,
        )
    dataset.context.execution_options.resource_limits = ExecutionResources(
        object_store_memory=2 * actors * STORED
    )
    dataset.context.enable_progress_bars = False
    dataset.context.raise_original_map_exception = True
    dataset.context.target_max_block_size = 1  # byte: what is a block here is one there
    return dataset
