"""Window vectors for sizes that no real corpus here has: real ones, repeated with seeded jitter.

The windows of MELD's and EmoryNLP's training splits come again and again, each time, the first
included, moved: a step along the difference of two other windows drawn by lot, as long as a
window is far from its nearest neighbour of another dialogue (the median), after which both halves
are normalised as `compose` does. So a copy is about as like to its original as strangers are, and
jitter lies where windows lie, and not in directions that no text takes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ragemo import Index, load_embedder, read_corpus
from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.vectors import Composition

QUESTIONS = 500

CHUNK = 50_000
"""Vectors that are made at a time."""

TRAIN = ("meld/train_sent_emo.csv", "emorynlp/emorynlp_train_final.csv")
DEV = ("meld/dev_sent_emo.csv", "emorynlp/emorynlp_dev_final.csv")


def write_windows(data: Path, work: Path) -> None:
    """The real windows: those that are repeated, with their dialogues, and the questions."""
    embedder = load_embedder()
    for name, files in (("questions", DEV), ("windows", TRAIN)):
        indexes = [Index.build(read_corpus(data / file), embedder) for file in files]
        dialogues = [
            f"{file}/{turn.dialogue_id}"
            for file, index in zip(files, indexes, strict=True)
            for turn in index.turns
        ]
        vectors = np.concatenate([index.window_vectors for index in indexes])
        if name == "questions":
            drawn = np.random.default_rng(0).permutation(len(vectors))[:QUESTIONS]
            vectors = vectors[np.sort(drawn)]
        (work / f"{name}.json").write_text(json.dumps(dialogues), encoding="utf-8")
        np.save(work / f"{name}.npy", vectors)


def write_vectors(work: Path, size: int) -> None:
    """So many windows, moved, into a file; never all of them in memory."""
    own = np.load(work / "windows.npy")
    dialogues = json.loads((work / "windows.json").read_text(encoding="utf-8"))
    step = nearest_distance(own, dialogues)
    print(f"{size:,} vectors: steps of {step:.2f}", file=sys.stderr, flush=True)
    lot = np.random.default_rng(0)
    begun = work / f"{size}.npy.begun"
    made = np.lib.format.open_memmap(begun, mode="w+", dtype=np.float32, shape=(size, own.shape[1]))
    for start in range(0, size, CHUNK):
        rows = np.arange(start, min(start + CHUNK, size)) % len(own)
        one, other = lot.integers(len(own), size=(2, len(rows)))
        made[start : start + len(rows)] = moved(own[rows], own[one] - own[other], step)
    made.flush()
    begun.replace(work / f"{size}.npy")


def moved(own: Vectors, away: Vectors, step: float) -> Vectors:
    """Windows after a step in some directions, their halves as long as they were."""
    long = np.linalg.norm(away, axis=1, keepdims=True)
    there: Vectors = own + np.float32(step) * np.divide(
        away, long, out=np.zeros_like(away), where=long > 0
    )
    weight = Composition().weight
    half = own.shape[1] // 2
    for side, share in ((slice(half), 1 - weight), (slice(half, None), weight)):
        long = np.linalg.norm(there[:, side], axis=1, keepdims=True)
        # Where nothing was said before there is no context, and none is made up.
        said = np.linalg.norm(own[:, side], axis=1, keepdims=True) > 0
        there[:, side] *= np.where(said, np.sqrt(share) / np.maximum(long, 1e-9), 0)
    return there


def nearest_distance(windows: Vectors, dialogues: Sequence[str]) -> float:
    """How far a window is from the nearest of another dialogue, in the median of many."""
    of = np.unique(np.array(dialogues), return_inverse=True)[1]
    asked = np.random.default_rng(0).permutation(len(windows))[:2_000]
    alike = windows[asked] @ windows.T
    alike[of[asked][:, None] == of[None]] = -1
    lengths = (windows**2).sum(axis=1)
    squared = lengths[asked][:, None] + lengths[None] - 2 * alike
    return float(np.median(np.sqrt(np.maximum(squared.min(axis=1), 0))))
