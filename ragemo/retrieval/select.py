"""Which utterances of a corpus are most worth labelling, before any is labelled."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from ragemo.corpus.transcripts import choose_transcripts
from ragemo.corpus.windows import turns_of
from ragemo.files import as_cell
from ragemo.retrieval.embedding.embedder import Embedder
from ragemo.retrieval.strategies.vote_k import vote_k
from ragemo.retrieval.vectors import Composition, compose
from ragemo.settings import DEFAULT_TRANSCRIPT
from ragemo.types import Corpus, Turn


def select_turns(
    corpus: Corpus,
    embedder: Embedder,
    count: int,
    *,
    transcript: str = DEFAULT_TRANSCRIPT,
    composition: Composition | None = None,
    seed: int = 0,
) -> list[Turn]:
    """The utterances whose labels would tell most of the others', the most telling first.

    Args:
        corpus: labels in it are not looked at; utterances that need no prediction and those
            without words are passed over.
        embedder: turns each utterance into a vector.
        count: how many; all come if there are no more.
        transcript: a strategy or an ASR system.
        composition: of a window's vector.
        seed: for transcript strategies that draw.

    See `ragemo.retrieval.strategies.vote_k` for the method and its source.
    """
    utterances = corpus.utterances
    chosen = choose_transcripts(utterances, transcript, seed=seed)
    by_id = {u.id: t for u, t in zip(utterances, chosen, strict=True)}
    turns = [turn for dialogue in corpus.dialogues for turn in turns_of(dialogue, by_id)]
    vectors = compose(
        embedder.embed([turn.text for turn in turns]),
        [turn.dialogue_id for turn in turns],
        composition or Composition(),
    )
    rows = np.array(
        [
            row
            for row, (turn, utterance) in enumerate(zip(turns, utterances, strict=True))
            if utterance.needs_prediction and turn.text.strip()
        ],
        dtype=np.int64,
    )
    return [turns[row] for row in rows[vote_k(vectors[rows], count)].tolist()]


def turns_csv(turns: Sequence[Turn]) -> str:
    """A table with a row for each turn: its place, id, dialogue, speaker and text."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["place", "id", "dialogue_id", "speaker", "text"])
    for place, turn in enumerate(turns, start=1):
        cells = (turn.utterance_id, turn.dialogue_id, turn.speaker, turn.text)
        writer.writerow([place, *map(as_cell, cells)])
    return table.getvalue()
