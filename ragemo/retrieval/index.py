"""The index: labelled training windows, searchable, as a folder anyone can read.

    manifest.json    format version, settings, label set, embedder, data hash, a SHA-256 per file
    utterances.jsonl one utterance a line: its chosen transcript, and its label if it is an example
    vectors.npy      utterance vectors, float32, one row a line of utterances.jsonl
    windows.faiss    FAISS index (inner product) over the composed vectors of the examples

Nothing in it is pickled and nothing in it can run. The folder is written whole or not at all.
Context utterances that are no examples themselves are kept, since windows need them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ragemo import __version__
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.corpus.windows import turns_of
from ragemo.errors import IndexFolderError, SettingsError
from ragemo.files import (
    canonical_json,
    sha256_bytes,
    sha256_file,
    whole_folder,
    write_json,
)
from ragemo.labels import LabelSet
from ragemo.progress import Progress, Silent
from ragemo.retrieval.embedder import Embedder, Vectors, load_index_embedder
from ragemo.retrieval.folder import FORMAT, check_destination, read_manifest, verify_index
from ragemo.retrieval.guards import Guard, GuardedRows
from ragemo.retrieval.neighbours import (
    COUNTS,
    Floats,
    Integers,
    NeighbourVoter,
    fit_neighbour_voter,
)
from ragemo.retrieval.vectors import Composition, compose
from ragemo.settings import DEFAULT_TRANSCRIPT
from ragemo.types import Corpus, Demonstration, Turn, Window

SAME_WEIGHTS = 0.97
"""Cosine of a text's vectors above which the weights count as unchanged: int8 arithmetic differs
a little between processors, other weights differ a lot."""

FITTING_WINDOWS = 3000
"""At most so many windows are asked with their dialogue held out to fit the neighbour voter."""

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
        voter: NeighbourVoter | None = None,
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
        self.searcher = searcher if searcher is not None else self._make_searcher()
        self.voter = voter if voter is not None else self._fit_voter()

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
        return Index(
            turns=self.turns,
            gold=self.gold,
            vectors=self.vectors,
            labels=self.labels,
            composition=composition,
            embedder=self.embedder,
            transcript=self.transcript,
            corpus=self.corpus,
        )

    def _make_searcher(self) -> Any:
        import faiss

        searcher = faiss.IndexFlatIP(2 * self.vectors.shape[1])
        searcher.add(self.window_vectors[self.examples])
        return searcher

    def _fit_voter(self) -> NeighbourVoter:
        """Fit the neighbour voter on windows asked with their own dialogue held out."""
        sample = self.examples
        if len(sample) > FITTING_WINDOWS:
            drawn = np.random.default_rng(0).choice(len(sample), FITTING_WINDOWS, replace=False)
            sample = sample[np.sort(drawn)]
        found = self.search(
            self.window_vectors[sample], [self.turns[row] for row in sample], COUNTS[-1]
        )
        return fit_neighbour_voter(
            found.similarities,
            self.label_positions[found.rows],
            self.label_positions[sample],
            self.prior,
        )

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
        settings = [self.composition.to_dict(), self.voter.to_dict(), self.labels.to_dict()]
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
            "neighbour_voter": self.voter.to_dict(),
            "label_counts": self.label_counts,
        }

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
        fetch = k + 16
        while len(pending) and k:
            fetch = min(fetch, len(self.examples))
            scores, found = self.searcher.search(queries[pending], fetch)
            short = []
            for query, last, candidates in zip(pending.tolist(), scores[:, -1], found, strict=True):
                allowed = candidates[self._guarded.allowed(candidates, targets[query], guard)]
                examples = self.examples[allowed]
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
        """Write the folder whole.

        Raises:
            IndexFolderError: if something is at `path` already and `overwrite` is not set,
                what is there is no index, or the folder cannot be written; what was there stays.
        """
        path = Path(path)
        check_destination(path, overwrite=overwrite)
        try:
            with whole_folder(path) as folder:
                self._write(folder)
        except (OSError, RuntimeError) as error:  # FAISS raises RuntimeError on a full disk
            raise IndexFolderError(f"{path}: the index cannot be written: {error}") from None

    def _write(self, folder: Path) -> None:
        import faiss

        lines = [
            json.dumps({**asdict(turn), "label": label}, ensure_ascii=False) + "\n"
            for turn, label in zip(self.turns, self.gold, strict=True)
        ]
        (folder / "utterances.jsonl").write_text("".join(lines), encoding="utf-8")
        np.save(folder / "vectors.npy", self.vectors, allow_pickle=False)
        faiss.write_index(self.searcher, str(folder / "windows.faiss"))
        manifest = {
            "kind": "index",
            "format": FORMAT,
            "ragemo": __version__,
            "corpus": self.corpus,
            "transcript": self.transcript,
            "embedder": self.embedder,
            "composition": self.composition.to_dict(),
            "labels": self.labels.to_dict(),
            "label_counts": self.label_counts,
            "utterances": len(self.turns),
            "examples": len(self.examples),
            "neighbour_voter": self.voter.to_dict(),
            "files": {entry.name: sha256_file(entry) for entry in sorted(folder.iterdir())},
        }
        manifest["checksum"] = sha256_bytes(canonical_json(manifest).encode())
        write_json(folder / "manifest.json", manifest)

    @classmethod
    def load(cls, path: Path | str) -> Index:
        """Read a folder written by `save`.

        Raises:
            IndexFolderError: if it is missing, damaged, or of another format version.
        """
        import faiss

        path = Path(path)
        # Before anything is parsed: FAISS may crash on damaged sizes, and a vector's damaged
        # digits would only give other neighbours.
        if problems := verify_index(path):
            raise IndexFolderError("\n".join([*problems, "Build the index anew"]))
        manifest = read_manifest(path)
        try:
            turns, gold = _read_utterances(path / "utterances.jsonl")
            vectors = np.load(path / "vectors.npy", allow_pickle=False)
            searcher = faiss.read_index(str(path / "windows.faiss"))
            voter = dict(manifest["neighbour_voter"])
            index = cls(
                turns=turns,
                gold=gold,
                vectors=vectors,
                labels=LabelSet.from_dict(manifest["labels"], str(path)),
                composition=Composition(**manifest["composition"]),
                embedder=manifest["embedder"],
                transcript=manifest["transcript"],
                corpus=manifest["corpus"],
                searcher=searcher,
                voter=NeighbourVoter(**{**voter, "prior": tuple(voter["prior"])}),
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise IndexFolderError(
                f"{path}: not an index that ragemo wrote ({error}); build the index anew"
            ) from None
        shapes = (vectors.shape, vectors.dtype, searcher.ntotal, searcher.d)
        rows, dimension = len(index.turns), searcher.d // 2
        if shapes != ((rows, dimension), np.float32, len(index.examples), 2 * dimension):
            raise IndexFolderError(
                f"{path}: its files do not belong together; build the index anew"
            )
        return index


def search_text(
    index: Index, text: str, k: int, say: Callable[[str], None] = lambda line: None
) -> tuple[Demonstration, ...]:
    """The k labelled windows most similar to a text that nothing was said before."""
    embedder = load_index_embedder(index.embedder, say=say)
    check_fits(index, embedder)
    query = compose(embedder.embed([text]), [""], index.composition)
    found = index.search(query, [Turn("", "", 0, "", None, text, "")], k)
    return index.demonstrations(found, 0, k, 0)


def check_fits(index: Index, embedder: Embedder) -> None:
    """Refuse a query side that embeds otherwise than the index was.

    Beside the names, the vector of one stored utterance is computed again: weights can change
    under a name.

    Raises:
        IndexFolderError: saying what differs.
    """
    if embedder.identity != index.embedder:
        keys = sorted(set(embedder.identity) | set(index.embedder))
        differing = [
            f"{key} {embedder.identity.get(key)!r} (index: {index.embedder.get(key)!r})"
            for key in keys
            if embedder.identity.get(key) != index.embedder.get(key)
        ]
        raise IndexFolderError(
            f"the query's embedder is not the index's: {'; '.join(differing)}. Use the index's "
            "embedder, or build the index anew"
        )
    row = next((row for row, turn in enumerate(index.turns) if turn.text.strip()), None)
    if row is not None:
        stored, again = index.vectors[row], embedder.embed([index.turns[row].text])[0]
        if stored.shape != again.shape:
            difference = f"{len(again)} dimensions, the index has {len(stored)}"
        elif (cosine := float(again @ stored)) < SAME_WEIGHTS:
            difference = f"cosine {cosine:.3f}"
        else:
            return
        raise IndexFolderError(
            f"the embedder {index.embedder['name']!r} gives another vector than when the index "
            f"was built ({difference}): its weights have changed. Build the index anew"
        )


def _read_utterances(path: Path) -> tuple[list[Turn], list[str | None]]:
    turns, gold = [], []
    with path.open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            gold.append(record.pop("label"))
            turns.append(Turn(**record))
    return turns, gold
