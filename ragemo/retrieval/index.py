"""The index: labelled training windows, searchable by similarity, with voters of its own.

How it lies on disk is told in `ragemo.retrieval.folder`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragemo.errors import IndexFolderError
from ragemo.files import canonical_json
from ragemo.labels import LabelSet
from ragemo.progress import Progress
from ragemo.retrieval import variants
from ragemo.retrieval.cuts import Cuts
from ragemo.retrieval.embedding.embedder import Embedder, Vectors
from ragemo.retrieval.folds import Folds
from ragemo.retrieval.guards import Guard, GuardedRows, Mask
from ragemo.retrieval.material import embedded, take_in
from ragemo.retrieval.searcher import Neighbours, Searcher
from ragemo.retrieval.similarities import similarities_of_each
from ragemo.retrieval.stores import EXACT, FarVectors, Rows, VectorStore
from ragemo.retrieval.stores.factory import Factory, choose_factory
from ragemo.retrieval.vectors import Composition, compose
from ragemo.retrieval.voters.neighbours import Floats, Integers
from ragemo.settings import DEFAULT_TRANSCRIPT
from ragemo.types import Corpus, Demonstration, Distribution, Turn, Window

if TYPE_CHECKING:
    from ragemo.retrieval.voters import IndexVoter
    from ragemo.retrieval.voters.fitting import FittedVoters


class Index:
    """Labelled windows of a training corpus, searchable by similarity."""

    def __init__(
        self,
        *,
        turns: Sequence[Turn],
        gold: Sequence[str | None],
        vectors: Vectors,
        labels: LabelSet,
        composition: Composition,
        embedder: dict[str, Any],
        transcript: str,
        corpus: dict[str, Any],
        factory: Factory | str = EXACT,
        store: VectorStore | None = None,
        window_vectors: Vectors | None = None,
        fitted: FittedVoters | None = None,
        exclude: str = "dialogue",
        neighbours: int | None = None,
        guarded: GuardedRows | None = None,
    ) -> None:
        self.turns = tuple(turns)
        self.gold = tuple(gold)
        self.vectors = vectors
        self.labels = labels
        self.composition = composition
        self.embedder = embedder
        self.transcript = transcript
        self.corpus = corpus
        self.examples: Rows = np.flatnonzero([label is not None for label in gold])
        if window_vectors is None:
            window_vectors = compose(vectors, [turn.dialogue_id for turn in turns], composition)
        self.window_vectors = window_vectors
        if isinstance(factory, str):
            factory = choose_factory(factory, len(self.examples), window_vectors.shape[1])
        self.chosen = factory
        self.searcher = Searcher(
            window_vectors, turns, self.examples, factory=factory.name, store=store, guarded=guarded
        )
        self.label_searchers: dict[int, Searcher] = {}
        self.exclude = exclude
        self.neighbours = neighbours
        self.known = variants.Known(fitted=fitted)
        self.cuts = Cuts(self.turns, self.gold)

    # -- making ------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        embedder: Embedder,
        *,
        transcript: str = DEFAULT_TRANSCRIPT,
        composition: Composition | None = None,
        factory: str = "Flat",
        provenance: Mapping[str, Any] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Index:
        """Embed a labelled corpus and index its windows.

        Args:
            corpus, transcript: see `ragemo.retrieval.material.take_in`.
            embedder: turns each utterance into a vector.
            composition: weight, decay and length of the context in a window's vector.
            factory: FAISS's index factory string: "Flat" is exact; others trade recall for
                speed and memory. "auto" and "auto-latency" choose one, see
                `ragemo.retrieval.stores.factory`.
            provenance, seed: as `corpus`.
            progress: told what is being done.

        Raises:
            SettingsError: if no utterance has a label, or the transcript choice is impossible.
        """
        material = take_in(corpus, transcript, seed=seed, provenance=provenance)
        return cls(
            **vars(material),
            vectors=embedded(material.turns, embedder, progress),
            embedder=embedder.identity,
            composition=composition or Composition(),
            factory=factory,
        )

    # -- others made of it -------------------------------------------------------------------

    def recomposed(self, composition: Composition) -> Index:
        """Under another weight, decay or length; see `ragemo.retrieval.variants.recomposed`."""
        return variants.recomposed(self, composition)

    def with_neighbours(self, count: int | None) -> Index:
        """With so many neighbours voting; see `ragemo.retrieval.variants.with_neighbours`."""
        return variants.with_neighbours(self, count)

    def without(self, left_out: Mask, exclude: str = "dialogue") -> Index:
        """Without the labels of some examples; see `ragemo.retrieval.variants.without`."""
        return variants.without(self, left_out, exclude)

    def apart(self, searching: Callable[[Rows], FarVectors]) -> Index:
        """Without its vectors, searched elsewhere; see `ragemo.retrieval.variants.apart`."""
        return variants.apart(self, searching)

    # -- what it holds -----------------------------------------------------------------------

    @property
    def factory(self) -> str:
        """How its windows are searched, in FAISS's language."""
        return self.chosen.name

    @cached_property
    def label_positions(self) -> Integers:
        """Position of each utterance's label in the label set; -1 for those that are context."""
        positions = {name: position for position, name in enumerate(self.labels.names)}
        return np.array([-1 if name is None else positions[name] for name in self.gold])

    @cached_property
    def label_counts(self) -> dict[str, int]:
        """How many examples each label has, in label order."""
        counts = Counter(name for name in self.gold if name is not None)
        return {name: counts[name] for name in self.labels.names}

    @property
    def prior(self) -> tuple[float, ...]:
        """Label shares of the examples, each label counted once more so that none is at 0."""
        total = len(self.examples) + len(self.labels)
        return tuple((count + 1) / total for count in self.label_counts.values())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that its answers depend on: transcripts, labels, vectors, settings."""
        settings = [
            self.composition.to_dict(),
            self.factory,
            self._voters_data(),
            self.labels.to_dict(),
        ]
        found = self.cuts.lines_hash.copy()
        found.update(canonical_json(settings).encode())
        found.update(np.ascontiguousarray(self.vectors).reshape(-1).data)
        return str(found.hexdigest())

    def summary(self) -> dict[str, Any]:
        """What a run's manifest says of its index."""
        return {
            "fingerprint": self.fingerprint,
            "corpus": self.corpus,
            "transcript": self.transcript,
            "embedder": self.embedder,
            "composition": self.composition.to_dict(),
            "factory": self.factory,
            "voters": self._voters_data(),
            "label_counts": self.label_counts,
        }

    def _voters_data(self) -> dict[str, Any]:
        return {name: voter.to_dict() for name, voter in self.voters.items()}

    @property
    def voters(self) -> Mapping[str, IndexVoter]:
        """The index's own voters by name, fitted on its examples."""
        return self.fitted.voters

    @property
    def fitted(self) -> FittedVoters:
        """The voters, and what they said of held-out windows; fitted when first asked for."""
        if self.known.fitted is None:
            from ragemo.retrieval.voters.fitting import fit_voters

            self.known.fitted = fit_voters(self, self.known.alike)
        return self.known.fitted

    @fitted.setter
    def fitted(self, voters: FittedVoters) -> None:
        """Of an index of the very same windows."""
        self.known.fitted = voters

    @cached_property
    def probed(self) -> Floats:
        """What the probe says of each example, shape (len(examples), L); it has seen its label.

        Raises:
            IndexFolderError: if that is no number, as of a window or a weight that is infinite. An
                index that is loaded does not look at all of them.
        """
        from ragemo.retrieval.voters import Questions

        nobody = np.zeros((len(self.examples), 0))
        said = self.voters["probe"].distributions(
            Questions(
                turns=[self.turns[row] for row in self.examples],
                vectors=self.window_vectors[self.examples],
                similarities=nobody,
                neighbour_labels=nobody.astype(np.int64),
            )
        )
        if not np.isfinite(said).all():
            raise IndexFolderError(
                "the index's windows, or its probe, hold what is no number; build the index anew"
            )
        return said

    def folds(self, exclude: str) -> Folds:
        """The examples, dealt into folds of whole dialogues, sessions or speakers."""
        return self.cuts.folds(exclude)

    def window(self, row: int, context: int) -> Window:
        """The window of one utterance with at most `context` earlier turns."""
        return self.cuts.window(row, context)

    def demonstrations(
        self, found: Neighbours, query: int, k: int, context: int
    ) -> tuple[Demonstration, ...]:
        """The first k neighbours of one query as demonstrations, in their order."""
        rows = found.rows[query, :k]
        places = np.searchsorted(self.examples, rows).tolist()
        similarities = found.similarities[query, :k].tolist()
        return tuple(
            Demonstration(
                window=self.window(row, context),
                label=str(self.gold[row]),
                similarity=similarity,
                soft_label=self.soft_labels[place],
            )
            for row, place, similarity in zip(rows.tolist(), places, similarities, strict=True)
            if row >= 0
        )

    @cached_property
    def soft_labels(self) -> list[Distribution]:
        """Of each example: half its gold label, half what the probe says of it."""
        shares = self.probed / 2
        shares[np.arange(len(shares)), self.label_positions[self.examples]] += 0.5
        return [tuple(row) for row in shares.tolist()]

    # -- searching ---------------------------------------------------------------------------

    def search(
        self, queries: Vectors, targets: Sequence[Turn], k: int, guard: Guard | None = None
    ) -> Neighbours:
        """The k most similar examples that each query may see, see `Searcher.search`.

        Args:
            queries: composed window vectors, shape (n, 2 d), under this index's composition.
            targets: the query windows' target turns, for the guard.
            k: how many neighbours; fewer come only if fewer are allowed.
            guard: what is shut out beside the query's own dialogue.
        """
        return self.searcher.search(queries, targets, k, guard or Guard())

    def search_label(
        self, label: int, queries: Vectors, targets: Sequence[Turn], k: int, guard: Guard
    ) -> Neighbours:
        """The k most similar examples of one label; that is its position in the label set."""
        if label not in self.label_searchers:
            rows = np.flatnonzero(self.label_positions == label)
            self.label_searchers[label] = Searcher(self.window_vectors, self.turns, rows)
        return self.label_searchers[label].search(queries, targets, k, guard)

    def allowed(self, target: Turn, guard: Guard) -> Mask:
        """Which of the examples a query may see, shape (len(examples),)."""
        return self.searcher.guarded.allowed(np.arange(len(self.examples)), target, guard)

    def similarities(self, rows: Rows, query: Vectors) -> Floats:
        """Similarities of some windows to a query, to six digits; see `similarities_of_each`."""
        found: Floats = similarities_of_each(self.window_vectors, rows[None], query[None])[0]
        return found

    # -- on disk -----------------------------------------------------------------------------

    def save(self, path: Path | str, *, overwrite: bool = False) -> None:
        """Write the folder whole; see `ragemo.retrieval.folder.write_index`."""
        from ragemo.retrieval.folder import write_index

        write_index(self, Path(path), overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str) -> Index:
        """Read a folder; see `ragemo.retrieval.folder.read_index`."""
        from ragemo.retrieval.folder import read_index

        return read_index(Path(path))
