"""Whether the memory that embedding takes grows with the corpus beyond its vectors.

    python scripts/bench/memory.py --data data/meld

10,000, 40,000 and 160,000 utterances are embedded, each in a process of its own: MELD's training
texts again and again, after the first time with a seeded number at the end so that they differ.
Prints a line of JSON for each size after the first: the peak memory above the first one's,
against the vectors above the first one's. `--sizes` names others: embedding so many takes long.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
from pathlib import Path

from ragemo import load_embedder, read_corpus

SIZES = (10_000, 40_000, 160_000)
DIMENSION = 384


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="MELD's folder")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--one", type=int, help="measure one size in this process")
    options = parser.parse_args()
    if options.one:
        print(peak_of(options.data, options.one))
        return
    peaks = {}
    for size in options.sizes:
        command = [sys.executable, __file__, "--data", str(options.data), "--one", str(size)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[size] = int(done.stdout)
    first = options.sizes[0]
    for size in options.sizes[1:]:
        grown = (peaks[size] - peaks[first]) / 2**20
        vectors = (size - first) * DIMENSION * 4 / 2**20
        print(
            json.dumps(
                {
                    "name": f"embedding's peak memory, {size:,} utterances above {first:,}",
                    "ours": round(grown, 1),
                    "reference": round(vectors, 1),
                    "ratio": round(grown / vectors, 3),
                    "unit": "MB",
                    "target": "at most 3.00",
                    "limited_by": "vectors of distinct texts, then of all; the texts themselves",
                }
            )
        )


def peak_of(data: Path, size: int) -> int:
    """The peak resident memory of embedding so many utterances, in bytes."""
    corpus = read_corpus(data / "train_sent_emo.csv")
    texts = [next(iter(one.hypotheses.values())) for one in corpus.utterances]
    dice = random.Random(0)
    many = [
        f"{texts[number % len(texts)]} {dice.randrange(10**9)}"
        if number >= len(texts)
        else texts[number]
        for number in range(size)
    ]
    load_embedder().embed(many)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
