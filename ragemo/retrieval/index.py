"""The index: labelled training windows, searchable by similarity, with voters of its own.

How it lies on disk is told in `ragemo.retrieval.folder`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ragemo.corpus.transcripts import choose_transcripts
from ragemo.corpus.windows import turns_of
from ragemo.errors import SettingsError
from ragemo.files import canonical_json, sha256_bytes
from ragemo.labels import LabelSet
from ragemo.progress import Progress, Silent
from ragemo.retrieval.embedder import Embedder, Vectors
from ragemo.retrieval.guards import Guard, GuardedRows, Mask
from ragemo.retrieval.neighbours import Floats, Integers
from ragemo.retrieval.vectors import Composition, compose
from ragemo.settings import DEFAULT_TRANSCRIPT
from ragemo.types import Corpus, Demonstration, Turn, Window

if TYPE_CHECKING:
    from ragemo.retrieval.fitting import FittedVoters
    from ragemo.retrieval.voters import IndexVoter

FETCH_MARGIN = 1e-5
"""More than FAISS's single precision and the rounding to six digits can change a similarity."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Neighbours:
    """The examples found for a batch of queries, most similar first.

    Attributes:
        rows: rows of the index's utterances, shape (n, k); -1 where there are fewer than k.
        similarities: shape (n, k); -inf where there are fewer than k.
    """

    rows: Rows
    similarities: Floats


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
        searcher: Any = None,
        window_vectors: Vectors | None = None,
        fitted: FittedVoters | None = None,
        exclude: str = "dialogue",
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
        if window_vectors is not None:
            self.__dict__["window_vectors"] = window_vectors
        self.searcher = searcher if searcher is not None else self._make_searcher()
        self.exclude = exclude
        self._fitted = fitted

    # -- making ------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        embedder: Embedder,
        *,
        transcript: str = DEFAULT_TRANSCRIPT,
        composition: Composition | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Index:
        """Embed a labelled corpus and index its windows.

        Args:
            corpus: utterances that need a prediction and have a gold label become examples; the
                others are context.
            embedder: turns each utterance into a vector.
            transcript: how each utterance's transcript is chosen (a strategy or an ASR system).
            composition: weight, decay and length of the context in a window's vector.
            seed: for transcript strategies that draw.
            progress: told what is being done.

        Raises:
            SettingsError: if no utterance has a label, or the transcript choice is impossible.
        """
        progress = progress or Silent()
        utterances = corpus.utterances
        chosen = choose_transcripts(utterances, transcript, seed=seed)
        by_id = {u.id: t for u, t in zip(utterances, chosen, strict=True)}
        turns = [turn for dialogue in corpus.dialogues for turn in turns_of(dialogue, by_id)]
        gold = [
            u.emotion if u.needs_prediction and u.emotion in corpus.labels.names else None
            for u in utterances
        ]
        if not any(gold):
            raise SettingsError(
                f"{corpus.path}: no utterance has a label of {corpus.labels.name!r} "
                f"({', '.join(corpus.labels.names)}); an index needs labelled utterances"
            )
        with progress.stage("embedding", len({turn.text for turn in turns})) as advance:
            vectors = embedder.embed([turn.text for turn in turns], advance)
        return cls(
            turns=turns,
            gold=gold,
            vectors=vectors,
            labels=corpus.labels,
            composition=composition or Composition(),
            embedder=embedder.identity,
            transcript=transcript,
            corpus={"file": corpus.path.name, "format": corpus.format, "sha256": corpus.sha256},
        )

    def recomposed(self, composition: Composition) -> Index:
        """The same utterances under another weight, decay or length; nothing is embedded."""
        if composition == self.composition:
            return self
        return self._changed(self.gold, composition, self.exclude)

    def without(self, left_out: Mask, exclude: str = "dialogue") -> Index:
        """The index that would have been built if some examples had borne no label.

        Args:
            left_out: which examples, shape (len(examples),); they stay as context.
            exclude: what a held-out window may not share with what a voter learned from, see
                `ragemo.retrieval.folds`.
        """
        gold = list(self.gold)
        for row in self.examples[left_out].tolist():
            gold[row] = None
        return self._changed(gold, self.composition, exclude)

    def _changed(self, gold: Sequence[str | None], composition: Composition, exclude: str) -> Index:
        return Index(
            turns=self.turns,
            gold=gold,
            vectors=self.vectors,
            labels=self.labels,
            composition=composition,
            embedder=self.embedder,
            transcript=self.transcript,
            corpus=self.corpus,
            window_vectors=self.window_vectors if composition == self.composition else None,
            exclude=exclude,
        )

    def _make_searcher(self) -> Any:
        import faiss

        searcher = faiss.IndexFlatIP(2 * self.vectors.shape[1])
        searcher.add(self.window_vectors[self.examples])
        return searcher

    # -- what it holds -----------------------------------------------------------------------

    @cached_property
    def window_vectors(self) -> Vectors:
        """Composed vectors of all utterances, shape (utterances, 2 d)."""
        return compose(self.vectors, [turn.dialogue_id for turn in self.turns], self.composition)

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
        lines = [
            canonical_json({**asdict(t), "label": g})
            for t, g in zip(self.turns, self.gold, strict=True)
        ]
        settings = [self.composition.to_dict(), self._voters_data(), self.labels.to_dict()]
        text = "\n".join([*lines, canonical_json(settings)])
        return sha256_bytes(text.encode() + np.ascontiguousarray(self.vectors).tobytes())

    def summary(self) -> dict[str, Any]:
        """What a run's manifest says of its index."""
        return {
            "fingerprint": self.fingerprint,
            "corpus": self.corpus,
            "transcript": self.transcript,
            "embedder": self.embedder,
            "composition": self.composition.to_dict(),
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

            self._fitted = fit_voters(self)
        return self._fitted

    @cached_property
    def _guarded(self) -> GuardedRows:
        return GuardedRows([self.turns[row] for row in self.examples])

    def window(self, row: int, context: int) -> Window:
        """The window of one utterance with at most `context` earlier turns."""
        dialogue_id = self.turns[row].dialogue_id
        first = row
        while first > 0 and row - first < context:
            if self.turns[first - 1].dialogue_id != dialogue_id:
                break
            first -= 1
        return Window(self.turns[first : row + 1])

    def demonstrations(
        self, found: Neighbours, query: int, k: int, context: int
    ) -> tuple[Demonstration, ...]:
        """The first k neighbours of one query as demonstrations, most similar first."""
        pairs = zip(found.rows[query, :k], found.similarities[query, :k], strict=True)
        return tuple(
            Demonstration(self.window(int(row), context), str(self.gold[row]), float(similarity))
            for row, similarity in pairs
            if row >= 0
        )

    # -- searching ---------------------------------------------------------------------------

    def search(
        self, queries: Vectors, targets: Sequence[Turn], k: int, guard: Guard | None = None
    ) -> Neighbours:
        """The k most similar examples that each query may see.

        Args:
            queries: composed window vectors, shape (n, 2 d), under this index's composition.
            targets: the query windows' target turns, for the guard.
            k: how many neighbours; fewer come only if fewer are allowed.
            guard: what is shut out beside the query's own dialogue.

        Ties are broken by the examples' order in the corpus. Similarities are computed again in
        double precision and rounded to six digits, so that a query's neighbours do not depend
        on which other queries it was searched with. More are fetched than asked for until the
        last one fetched is clearly less similar than the last one kept: which of many equal
        examples (a corpus's every "Yeah.") FAISS returns is chance.
        """
        guard = guard or Guard()
        rows = np.full((len(targets), k), -1, dtype=np.int64)
        similarities = np.full((len(targets), k), -np.inf)
        pending = np.arange(len(targets))
        # As many more as are shut out on average, if they stand no closer than others.
        share = max((self._guarded.share(turn, guard) for turn in targets), default=0.0)
        fetch = int((k + 16) / max(1 - share, 0.1))
        while len(pending) and k:
            fetch = min(fetch, len(self.examples))
            scores, found = self.searcher.search(queries[pending], fetch)
            short = []
            for query, near, candidates in zip(pending.tolist(), scores, found, strict=True):
                allowed = self._guarded.allowed(candidates, targets[query], guard)
                last = near[-1]
                if allowed.sum() > k:  # no need to look closer at what is clearly too far
                    allowed &= near >= near[allowed][k - 1] - 2 * FETCH_MARGIN
                examples = self.examples[candidates[allowed]]
                exact = self.window_vectors[examples].astype(np.float64) @ queries[query].astype(
                    np.float64
                )
                exact = exact.round(6)
                order = np.lexsort((examples, -exact))[:k]
                enough = len(order) == k and exact[order[-1]] > last + FETCH_MARGIN
                if not enough and fetch < len(self.examples):
                    short.append(query)
                    continue
                rows[query, : len(order)] = examples[order]
                similarities[query, : len(order)] = exact[order]
            pending = np.array(short, dtype=np.int64)
            fetch *= 4
        return Neighbours(rows, similarities)

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
