"""How well each retrieval strategy's examples tell the label, without any language model.

    python scripts/bench/strategies.py INDEX CORPUS [--strategies ...] [--context 0 1 2 4 8]

INDEX is a folder of `ragemo index build`, CORPUS a labelled file of other dialogues. The first k
examples that a strategy chooses vote as the index's neighbours do, by softmax of similarity with
the index's own temperature. Weighted F1 is printed for each k; differences are to random examples
with as many, with 95 % intervals by paired bootstrap over dialogues.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from ragemo.corpus import read_corpus
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.corpus.windows import cut_windows
from ragemo.progress import Silent
from ragemo.retrieval.embedding.embedder import Embedder, load_index_embedder
from ragemo.retrieval.index import Index
from ragemo.retrieval.retrieve import retrieve
from ragemo.retrieval.strategies import STRATEGIES
from ragemo.retrieval.voters.neighbours import NeighbourVoter
from ragemo.scoring.paired import paired_differences
from ragemo.scoring.predictions import Predictions, ScoredUtterance
from ragemo.scoring.score import score
from ragemo.types import Corpus, Turn

DEPTHS = (1, 2, 4, 8, 16, 32, 64)


def main() -> None:
    """Print a table for each length of context."""
    without_model = [name for name in STRATEGIES if name != "rerank"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--strategies", nargs="+", default=without_model)
    parser.add_argument("--context", nargs="+", type=int, help="default: the index's")
    parser.add_argument("--rerank", help="a cross-encoder, for the strategy rerank")
    options = parser.parse_args()
    index = Index.load(options.index)
    corpus = read_corpus(options.corpus, labels=index.labels)
    embedder = load_index_embedder(index.embedder, say=Silent().say)
    for length in options.context or [index.composition.length]:
        recomposed = index.recomposed(replace(index.composition, length=length))
        print(f"\nContext in a window's vector: {length} turns\n")
        print(
            "| strategy | "
            + " | ".join(f"k={k}" for k in DEPTHS)
            + " | UAR, k=8 | k=8 against random |"
        )
        print("| --- |" + " ---: |" * (len(DEPTHS) + 1) + " --- |")
        control = _decided(recomposed, embedder, corpus, "random")
        for name in options.strategies:
            model = options.rerank if name == "rerank" else None
            rows = _decided(recomposed, embedder, corpus, name, model)
            scores = [score(rows[k], training_counts=None, samples=1) for k in DEPTHS]
            one = paired_differences(rows[8], control[8])["weighted_f1"]
            bounds = f"[{_points(one.low)}, {_points(one.high)}]"
            shares = " | ".join(f"{100 * found.weighted_f1:.1f}" for found in scores)
            uar = 100 * scores[DEPTHS.index(8)].uar
            difference = f"{_points(one.difference)} {bounds}"
            print(f"| `{name}` | {shares} | {uar:.1f} | {difference} |", flush=True)


def _decided(
    index: Index, embedder: Embedder, corpus: Corpus, strategy: str, model: str | None = None
) -> dict[int, Predictions]:
    """For each k, what the first k examples of each utterance say."""
    utterances = corpus.utterances
    chosen = choose_transcripts(utterances, index.transcript)
    by_id = {u.id: t for u, t in zip(utterances, chosen, strict=True)}
    turns: list[Turn] = [w.target for w in cut_windows(corpus.dialogues, by_id, 0)]
    names = index.labels.names
    targets = [row for row, u in enumerate(utterances) if u.needs_prediction and u.emotion in names]
    retrieval = retrieve(
        index,
        embedder,
        turns,
        targets,
        k=DEPTHS[-1],
        strategy=[strategy],
        options={strategy: {"model": model}} if model else {},
    )
    shape = (len(targets), DEPTHS[-1])
    similarities, labels = np.full(shape, -np.inf), np.zeros(shape, dtype=np.int64)
    for query, found in enumerate(retrieval.found):
        for place, one in enumerate(found.demonstrations):
            similarities[query, place] = one.similarity
            labels[query, place] = names.index(one.label)
    fitted = cast("NeighbourVoter", index.voters["neighbours"])
    rows = {}
    for k in DEPTHS:
        voter = NeighbourVoter(k, fitted.temperature, fitted.prior)
        winners = voter.votes(similarities, labels).argmax(axis=1)
        said = (
            ScoredUtterance(
                id=utterances[row].id,
                dialogue_id=utterances[row].dialogue_id,
                gold=str(utterances[row].emotion),
                predicted=names[winner],
                distribution=None,
            )
            for row, winner in zip(targets, winners.tolist(), strict=True)
        )
        rows[k] = Predictions.of(said, index.labels)
    return rows


def _points(share: float | None) -> str:
    """A share in percentage points, with its sign."""
    return "" if share is None else f"{100 * share:+.1f}"


if __name__ == "__main__":
    main()
