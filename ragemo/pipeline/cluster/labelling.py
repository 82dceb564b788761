"""Blocks of a corpus become parts of a run in stages of Ray Data.

    read    a task on this machine: blocks of the corpus, no further ahead than there is room
    embed   a pool of actors that have loaded the embedder: what is said in a block as vectors
    label   a pool of actors that have loaded the index: retrieve, vote, decide; a part of the run

Each pool has as many actors as there are cores. The index travels once to each node, where all
actors of the node read the same copy of its vectors. A part arrives here whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from ragemo.corpus.blocks import Blocks
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.errors import DataError
from ragemo.pipeline.cluster.connection import Cluster
from ragemo.pipeline.cluster.pieces import check_pieces, in_pieces
from ragemo.pipeline.cluster.stages import Stage, through
from ragemo.pipeline.plan import fitted_for
from ragemo.pipeline.streaming import Labeller, MakeParts, Outline, numbered
from ragemo.retrieval.embedding.embedder import Embedder, Vectors
from ragemo.retrieval.retrieve import check_identity, probing_row
from ragemo.runs.parts import Part
from ragemo.settings import Settings
from ragemo.types import Corpus


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
            made = through(
                _reader(corpus, labeller.outline.size, frozenset(numbers)),
                [
                    Stage(partial(_hear, listener)),
                    Stage(partial(_label, replace(labeller, embedder=given))),
                ],
                actors=min(cluster.workers, len(numbers)),
            )
            # Closed before the pieces are let go of, whoever stops early.
            yield from until_done.enter_context(closing(made))

    return parts


def _reader(*source: Any) -> Callable[[int], Iterator[tuple[int, Corpus]]]:
    """Reads the blocks, see `numbered`; the corpus travels once."""
    import ray

    there = ray.put(source)

    def read(_: int) -> Iterator[tuple[int, Corpus]]:
        try:
            yield from numbered(*ray.get(there))
        except OSError as error:
            raise DataError(f"the corpus cannot be read again: {error}") from None

    return read


def _hear(listener: Listener, item: tuple[int, Corpus]) -> tuple[int, Heard]:
    number, block = item
    return number, listener.heard(number, block)


def _label(labeller: Labeller, item: tuple[int, Heard]) -> tuple[int, Part]:
    number, heard = item
    return number, labelled(labeller, number, heard)
