"""A further corpus for an index: the index of both, and only what is new is embedded."""

from __future__ import annotations

import numpy as np

from ragemo.errors import DataError, SettingsError
from ragemo.files import canonical_json, sha256_bytes
from ragemo.progress import Progress
from ragemo.retrieval.embedding.embedder import Embedder
from ragemo.retrieval.index import Index
from ragemo.retrieval.material import embedded, take_in
from ragemo.retrieval.retrieve import check_fits
from ragemo.types import Corpus


def add_corpus(
    index: Index,
    corpus: Corpus,
    embedder: Embedder,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Index:
    """The index that would have been built of both corpora as one file, the added one last.

    Args:
        index: of one corpus, or of several that were added.
        corpus: of the same label set; its ids stay as they are.
        embedder: the index's.
        seed: for a transcript strategy that draws.
        progress: told what is being done.

    Raises:
        SettingsError: if the index is of joined corpora, the label set is another one, no
            utterance has a label, or the index's transcript choice is impossible here.
        DataError: if a dialogue or an utterance of that id is in the index.
        IndexFolderError: if the embedder is not the index's.
    """
    if parts := index.corpus.get("parts"):
        names = ", ".join(str(part["name"]) for part in parts)
        raise SettingsError(
            f"the index is of joined corpora ({names}), whose ids bear their names; build it anew "
            "with the further one as another FILE: vectors are kept, so little is embedded again"
        )
    if corpus.labels.names != index.labels.names:
        raise SettingsError(
            f"{corpus.path} has the label set {corpus.labels.name!r} "
            f"({', '.join(corpus.labels.names)}), the index {index.labels.name!r} "
            f"({', '.join(index.labels.names)}); build an index of both with `ragemo index build`, "
            "which maps labels (--map)"
        )
    _check_new(index, corpus)
    check_fits(index, embedder)
    material = take_in(corpus, index.transcript, seed=seed)
    row_of = {turn.text: row for row, turn in enumerate(index.turns)}
    known = np.array([row_of.get(turn.text, -1) for turn in material.turns])
    vectors = np.concatenate([index.vectors, index.vectors[known]])
    new = np.flatnonzero(known < 0)
    vectors[len(index.turns) + new] = embedded(
        [material.turns[row] for row in new.tolist()], embedder, progress
    )
    earlier = index.corpus.get("added") or [{**index.corpus, "utterances": len(index.turns)}]
    added = [*earlier, {**material.corpus, "utterances": len(material.turns)}]
    return Index(
        turns=(*index.turns, *material.turns),
        gold=(*index.gold, *material.gold),
        vectors=vectors,
        labels=index.labels,
        composition=index.composition,
        embedder=index.embedder,
        transcript=index.transcript,
        corpus={
            "file": added[0]["file"],
            "format": "added",
            "sha256": sha256_bytes(canonical_json([one["sha256"] for one in added]).encode()),
            "added": added,
        },
        factory=index.chosen.asked,
    )


def _check_new(index: Index, corpus: Corpus) -> None:
    dialogues = {turn.dialogue_id for turn in index.turns}
    utterances = {turn.utterance_id for turn in index.turns}
    for one in corpus.utterances:
        for what, name, there in (
            ("dialogue", one.dialogue_id, dialogues),
            ("utterance", one.id, utterances),
        ):
            if name in there:
                raise DataError(
                    f"the index has {what} {name!r} already, from another corpus or this one; give "
                    "new conversations new ids, or build an index of both with `ragemo index "
                    "build`, which puts a corpus's name before its ids",
                    path=corpus.path,
                    record=one.id,
                )
