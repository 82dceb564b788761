"""What an index is made of before anything is embedded: who said what, and with which label."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from ragemo.corpus.checked import plain
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.corpus.windows import turns_of
from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.progress import Progress, Silent
from ragemo.retrieval.embedding.embedder import Embedder, Vectors
from ragemo.types import Corpus, Turn


@dataclass(frozen=True)
class Material:
    """A labelled corpus as an index takes it in; an `Index` has all this under the same names.

    Attributes:
        turns: its utterances in corpus order, with the chosen transcripts.
        gold: of each the label, if it is to be an example; None: it is context.
        labels: the label set.
        transcript: how transcripts were chosen (a strategy or an ASR system).
        corpus: what the manifest says of where it is from.
    """

    turns: tuple[Turn, ...]
    gold: tuple[str | None, ...]
    labels: LabelSet
    transcript: str
    corpus: dict[str, Any]


def take_in(
    corpus: Corpus,
    transcript: str,
    *,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> Material:
    """A labelled corpus as material of an index.

    Args:
        corpus: utterances that need a prediction and have a gold label become examples; the
            others are context.
        transcript: how each utterance's transcript is chosen (a strategy or an ASR system).
        seed: for transcript strategies that draw.
        provenance: what the manifest says of the corpus beside its file, format and hash.

    Raises:
        SettingsError: if no utterance has a label, or the transcript choice is impossible.
    """
    utterances = corpus.utterances
    chosen = choose_transcripts(utterances, transcript, seed=seed)
    by_id = {u.id: t for u, t in zip(utterances, chosen, strict=True)}
    gold = tuple(
        u.emotion if u.needs_prediction and u.emotion in corpus.labels.names else None
        for u in utterances
    )
    if not any(gold):
        raise SettingsError(
            f"{corpus.path}: no utterance has a label of {corpus.labels.name!r} "
            f"({', '.join(corpus.labels.names)}); an index needs labelled utterances"
        )
    return Material(
        turns=tuple(turn for dialogue in corpus.dialogues for turn in turns_of(dialogue, by_id)),
        gold=gold,
        labels=corpus.labels,
        transcript=transcript,
        corpus={
            "file": corpus.path.name,
            "format": corpus.format,
            "sha256": corpus.sha256,
            **(provenance or {}),
        },
    )


def embedded(
    turns: Sequence[Turn], embedder: Embedder, progress: Progress | None = None
) -> Vectors:
    """The vectors of some turns, shape (len(turns), d), float32."""
    texts = [turn.text for turn in turns]
    with (progress or Silent()).stage("embedding", len(set(texts))) as advance:
        return embedder.embed(texts, advance)


def hashed(turns: Sequence[Turn], gold: Sequence[str | None]) -> Any:
    """A SHA-256, open for more, over all that is said, by whom, and its labels."""
    return hashlib.sha256(lines_of(turns, gold))


def lines_of(turns: Sequence[Turn], gold: Sequence[str | None]) -> bytes:
    """Turns and their labels as JSON, one a line: the same for the same ones."""
    # By json.dumps this would take more than twice as long, and hold up what else is written.
    lines = (
        to_json({**plain(turn), "label": label}) for turn, label in zip(turns, gold, strict=True)
    )
    return b"".join(line + b"\n" for line in lines)
