"""The index: labelled training windows, searchable by similarity, with voters of its own.

How it lies on disk is told in `ragemo.retrieval.folder`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragemo.errors import SettingsError
from ragemo.files import canonical_json
from ragemo.labels import LabelSet
from ragemo.progress import Progress
from ragemo.retrieval.cuts import Cuts
from ragemo.retrieval.embedder import Embedder, Vectors
from ragemo.retrieval.factory import Factory, choose_factory
from ragemo.retrieval.folds import Folds
from ragemo.retrieval.guards import Guard, GuardedRows, Mask
from ragemo.retrieval.material import embedded, take_in
from ragemo.retrieval.neighbours import Floats, Integers
from ragemo.retrieval.searcher import Neighbours, Searcher, similarities_of_each
from ragemo.retrieval.stores import EXACT, FarVectors, Rows, VectorStore
from ragemo.retrieval.vectors import Composition, compose
from ragemo.settings import DEFAULT_TRANSCRIPT
from ragemo.types import Corpus, Demonstration, Distribution, Turn, Window

if TYPE_CHECKING:
    from ragemo.retrieval.fitting import FittedVoters
    from ragemo.retrieval.voters import IndexVoter

KEPT_PARTS = 8
"""Indexes without some examples that are kept: blocks of a stream ask for the same again and again,
one for each fold if its dialogues are the index's own."""


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
        self._label_searchers: dict[int, Searcher] = {}
        self.exclude = exclude
        self.neighbours = neighbours
        self._fitted = fitted
        # Of an index with other vectors, and of one with another number of neighbours: what does
        # not depend on these need not be fitted again.
        self._alike: FittedVoters | None = None
        self._lent: FittedVoters | None = None
        self._recomposed: Index | None = None
        self._reduced: dict[tuple[bytes, str, int | None], Index] = {}
        self._cuts = Cuts(self.turns, self.gold)

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
                `ragemo.retrieval.factory`.
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

    def recomposed(self, composition: Composition) -> Index:
        """The same utterances under another weight, decay or length; nothing is embedded.

        The last one is kept, so that who asks for it again need not wait for its voters.
        """
        if composition == self.composition:
            return self
        if self._recomposed is None or self._recomposed.composition != composition:
            self._recomposed = self._changed(self.gold, composition, self.exclude, self.chosen)
            self._recomposed._alike = self._fitted or self._lent
            self._recomposed._cuts = self._cuts
        return self._recomposed

    def with_neighbours(self, count: int | None) -> Index:
        """The same index with so many neighbours voting, at least 0; None: as many as are fitted.

        What does not depend on it (the other voters, searches) is shared.
        """
        if count == self.neighbours:
            return self
        from ragemo.retrieval.fitting import fit_voters, refit_neighbours

        other = copy(self)
        other.neighbours = count
        fitted = self._fitted or self._lent
        if fitted is None:
            other._fitted = self._lent = fit_voters(other, self._alike)
        else:
            other._fitted = refit_neighbours(other, fitted)
        vars(self).setdefault("_soft_labels", other._soft_labels)
        other._recomposed = None
        other.__dict__.pop("fingerprint", None)  # it tells the voters, too
        return other

    def without(self, left_out: Mask, exclude: str = "dialogue") -> Index:
        """The exact index that would have been built if some examples had borne no label.

        The last ones are kept, see `KEPT_PARTS`.

        Args:
            left_out: which examples, shape (len(examples),); they stay as context.
            exclude: what a held-out window may not share with what a voter learned from, see
                `ragemo.retrieval.folds`.
        """
        key = left_out.tobytes(), exclude, self.neighbours
        part = self._reduced.pop(key, None)
        if part is None:
            gold = list(self.gold)
            for row in self.examples[left_out].tolist():
                gold[row] = None
            # Exact whatever the whole's factory: that was chosen for more windows, FAISS may not
            # be able to train it on these ("IVF700" on fewer), and a run would wait for each part.
            part = self._changed(gold, self.composition, exclude, EXACT)
            while len(self._reduced) >= KEPT_PARTS:
                del self._reduced[next(iter(self._reduced))]
        self._reduced[key] = part
        return part

    def apart(self, searching: Callable[[Rows], FarVectors]) -> Index:
        """The same index without its vectors, which are searched elsewhere.

        It finds the same neighbours, and its voters say the same; so do its parts that are kept,
        see `without`. Nothing else can be fitted on it.

        Args:
            searching: what searches the vectors of some rows, rising.
        """
        other = copy(self)
        vars(other)["fingerprint"] = self.fingerprint
        vars(other)["_soft_labels"] = self._soft_labels
        other._fitted = self.fitted
        other._alike = other._lent = other._recomposed = None
        other._reduced = {key: part.apart(searching) for key, part in self._reduced.items()}
        other._label_searchers = {}
        # The first is kept that is not blank: an embedder is tried on it.
        tried = next((row for row, turn in enumerate(self.turns) if turn.text.strip()), 0)
        other.vectors = self.vectors[: tried + 1]
        other.window_vectors = self.window_vectors[:0]
        far, guarded = searching(self.examples), self.searcher.guarded
        other.searcher = Searcher(far, self.turns, self.examples, guarded=guarded)
        return other

    def _changed(
        self,
        gold: Sequence[str | None],
        composition: Composition,
        exclude: str,
        factory: Factory | str,
    ) -> Index:
        if len(self.window_vectors) < len(self.turns):
            raise SettingsError(
                "voters have to be fitted anew, and the index's vectors lie in pieces; go on "
                "without --index-shards"
            )
        return Index(
            turns=self.turns,
            gold=gold,
            vectors=self.vectors,
            labels=self.labels,
            composition=composition,
            embedder=self.embedder,
            transcript=self.transcript,
            corpus=self.corpus,
            factory=factory,
            window_vectors=self.window_vectors if composition == self.composition else None,
            exclude=exclude,
            neighbours=self.neighbours,
            guarded=self.searcher.guarded if gold is self.gold else None,
        )

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
        found = self._cuts.lines_hash.copy()
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
        if self._fitted is None:
            from ragemo.retrieval.fitting import fit_voters

            self._fitted = fit_voters(self, self._alike)
        return self._fitted

    @fitted.setter
    def fitted(self, voters: FittedVoters) -> None:
        """Of an index of the very same windows."""
        self._fitted = voters

    @cached_property
    def probed(self) -> Floats:
        """What the probe says of each example, shape (len(examples), L); it has seen its label."""
        from ragemo.retrieval.voters import Questions

        nobody = np.zeros((len(self.examples), 0))
        return self.voters["probe"].distributions(
            Questions(
                turns=[self.turns[row] for row in self.examples],
                vectors=self.window_vectors[self.examples],
                similarities=nobody,
                neighbour_labels=nobody.astype(np.int64),
            )
        )

    def folds(self, exclude: str) -> Folds:
        """The examples, dealt into folds of whole dialogues, sessions or speakers."""
        return self._cuts.folds(exclude)

    def window(self, row: int, context: int) -> Window:
        """The window of one utterance with at most `context` earlier turns."""
        return self._cuts.window(row, context)

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
                soft_label=self._soft_labels[place],
            )
            for row, place, similarity in zip(rows.tolist(), places, similarities, strict=True)
            if row >= 0
        )

    @cached_property
    def _soft_labels(self) -> list[Distribution]:
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
        if label not in self._label_searchers:
            rows = np.flatnonzero(self.label_positions == label)
            self._label_searchers[label] = Searcher(self.window_vectors, self.turns, rows)
        return self._label_searchers[label].search(queries, targets, k, guard)

    def allowed(self, target: Turn, guard: Guard) -> Mask:
        """Which of the examples a query may see, shape (len(examples),)."""
        return self.searcher.guarded.allowed(np.arange(len(self.examples)), target, guard)

    def similarities(self, rows: Rows, query: Vectors) -> Floats:
        """Exact similarities of some windows to a query, to six digits."""
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
