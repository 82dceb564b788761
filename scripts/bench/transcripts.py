"""What the choice of the transcript is worth, in words and in emotions.

    python scripts/bench/transcripts.py TRAIN [DEV] [--against consensus-ratio]

TRAIN and DEV are labelled files with ASR hypotheses and reference transcripts. For every ASR
system, for the strategies that make sense and for the reference: the word error rate on DEV
against the reference, case and punctuation aside, and how the index's own voters do on DEV when
TRAIN and DEV are both read that way. No language model is asked. Without DEV, TRAIN is predicted
with each dialogue left out in turn. Intervals are of 95 %, by bootstrap over dialogues; the
difference is paired, to the row named by --against.

A second table has the weighted F1 by the word error rate of the utterance's consensus-ratio
transcript, and that of the reference transcripts on the same utterances.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ragemo import Index, load_embedder, predict, read_corpus, resolve_settings
from ragemo.corpus import choose_transcripts
from ragemo.corpus.transcripts import REFERENCE
from ragemo.corpus.words import fold
from ragemo.retrieval.embedding.embedder import Embedder, Vectors
from ragemo.runs.scores import scored
from ragemo.scoring.paired import paired_differences
from ragemo.scoring.predictions import Predictions
from ragemo.scoring.score import score
from ragemo.types import Corpus

DEFAULT = "consensus-ratio"
STRATEGIES = (
    "longest",
    "shortest",
    "most-punctuation",
    DEFAULT,
    "consensus-chrf",
    "consensus-wer",
    "rover",
    "random",
)
NOT_ALLOWED = {REFERENCE: "reference (not allowed in a challenge run)"}
BANDS = ((0.0, 0.0), (0.0, 0.25), (0.25, 0.5), (0.5, np.inf))
"""Word error rates above the first and up to the second; 0 alone is the first band."""


class Remembering:
    """An embedder that embeds each text once: strategies often choose the same."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.known: dict[str, Any] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """As of the embedder."""
        return self.embedder.identity

    @property
    def dimension(self) -> int:
        """As of the embedder."""
        return self.embedder.dimension

    def embed(
        self, texts: Sequence[str], progress: Callable[[int], None] = lambda steps: None
    ) -> Vectors:
        """See `Embedder`."""
        new = sorted(set(texts) - set(self.known))
        self.known.update(zip(new, self.embedder.embed(new), strict=True))
        return np.array([self.known[text] for text in texts], dtype=np.float32)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("dev", type=Path, nargs="?")
    parser.add_argument("--against", default=DEFAULT, help="the row that others are compared to")
    options = parser.parse_args()
    train = read_corpus(options.train)
    dev = read_corpus(options.dev, labels=train.labels) if options.dev else train
    systems = sorted({name for u in (*train.utterances, *dev.utterances) for name in u.hypotheses})
    names = [*systems, *STRATEGIES, REFERENCE]
    if options.against not in names:
        parser.error(f"--against is one of {', '.join(names)}")

    embedder = Remembering(load_embedder())
    with tempfile.TemporaryDirectory() as folder:
        found = {name: decided(train, dev, name, embedder, Path(folder)) for name in names}

    print(
        f"| transcript | WER | weighted F1 | UAR | accuracy | weighted F1 to {options.against} |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for name in names:
        own = score(found[name], training_counts=None)
        difference = ""
        if name != options.against:
            one = paired_differences(found[name], found[options.against])
            to = one["weighted_f1"]
            difference = f"{100 * to.difference:+.1f}{bounds((to.low, to.high), '+.1f')}"
        print(
            f"| {NOT_ALLOWED.get(name, name)} | {error_rate(dev, name):.3f} | "
            + " | ".join(
                f"{100 * getattr(own, metric):.1f}{bounds(own.intervals[metric])}"
                for metric in ("weighted_f1", "uar", "accuracy")
            )
            + f" | {difference} |"
        )
    print_bands(dev, found)


def decided(
    train: Corpus, dev: Corpus, transcript: str, embedder: Embedder, folder: Path
) -> Predictions:
    """The labelled utterances as the index's voters decide them."""
    index = Index.build(train, embedder, transcript=transcript)
    settings = resolve_settings(overrides={"llm.model": "none"})
    return scored(predict(dev, settings, folder / transcript, index=index, embedder=embedder))


def error_rate(corpus: Corpus, transcript: str) -> float:
    """Word error rate over all utterances that have words in their reference."""
    import jiwer

    spoken = [u for u in corpus.utterances if fold(u.reference or "")]
    chosen = choose_transcripts(spoken, transcript)
    return float(
        jiwer.wer([fold(u.reference or "") for u in spoken], [fold(one.text) for one in chosen])
    )


def print_bands(dev: Corpus, found: Mapping[str, Predictions]) -> None:
    """The second table."""
    import jiwer

    spoken = [u for u in dev.utterances if fold(u.reference or "")]
    rates = {
        u.id: float(jiwer.wer(fold(u.reference or ""), fold(one.text)))
        for u, one in zip(spoken, choose_transcripts(spoken, DEFAULT), strict=True)
    }
    print(
        f"\n| WER of the utterance | utterances | weighted F1, {DEFAULT} | weighted F1, reference |"
        "\n| --- | ---: | ---: | ---: |"
    )
    for low, high in BANDS:
        cells = []
        for name in (DEFAULT, REFERENCE):
            own = [
                row
                for row, key in enumerate(found[name].ids)
                if (rate := rates.get(key)) is not None and (low < rate <= high or rate == high)
            ]
            if not own:
                continue
            one = score(found[name].take(own), training_counts=None)
            cells.append(f"{100 * one.weighted_f1:.1f}{bounds(one.intervals['weighted_f1'])}")
        band = "0" if not high else f"above {low:g}" + ("" if high == np.inf else f", to {high:g}")
        print(f"| {band} | {len(own)} | {' | '.join(cells) or ' | '} |")


def bounds(interval: tuple[float | None, float | None] | None, form: str = ".1f") -> str:
    """An interval of shares, in percentage points."""
    low, high = interval or (None, None)
    return "" if low is None or high is None else f" [{100 * low:{form}}, {100 * high:{form}}]"


if __name__ == "__main__":
    main()
