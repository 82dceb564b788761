"""What labelling ever more utterances takes, by a formula whose coefficients were measured.

    python scripts/bench/cost_model.py DOCS [--measure INDEX CORPUS]

Prints the tables of docs/scale.md from DOCS/cost.json (what an utterance takes beside the search)
and DOCS/recall.json (how fast vectors are compared, see `recall.py`). With --measure cost.json is
made anew: 12,000 utterances, as `scale.py` makes them of CORPUS, are labelled as a stream by
INDEX's own voters, and the processor time of each stage is taken.

Times are of one core. With n utterances, of which the share u has a text that was not met before, E
windows of D numbers in the index, F operations a second:

    reading, joining    n (r + j)     by the machine that keeps the run's folder
    embedding           n u e         by workers
    exact search        n 2 E D / F   by workers
    deciding            n d           by workers
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scale import write_corpus

from ragemo import Index, read_corpus, resolve_settings
from ragemo.corpus.stream import CorpusStream
from ragemo.pipeline.streaming import predict_stream
from ragemo.progress import Advance, Silent
from ragemo.retrieval.embedding.embedder import Embedder, Vectors, load_index_embedder
from ragemo.retrieval.embedding.wrapped import WrappedEmbedder

UTTERANCES = 12_000
NEW = 0.1
"""Share of utterances with a text of their own, in the model as in `write_corpus`."""

DIMENSION = 768
SIZES = (
    *((10_000, 10_000), (10_000, 1_000_000), (1_000_000, 10_000), (1_000_000, 1_000_000)),
    *((100_000_000, 10_000), (100_000_000, 1_000_000), (100_000_000, 10_000_000)),
)
"""Utterances, and windows in the index."""

NODES, CORES = (1, 10, 100), 16

INTRODUCTION, DEMONSTRATION, TURN, ANSWER = 222, 16, 11, 5
"""Tokens of a prompt without demonstrations and context, and of each of these: what `ragemo predict
--dry-run` says of MELD's development split with --k 0 or 8 and --context 0 or 8."""

LIMIT = 10_000
"""Calls a minute that an endpoint allows."""


def main() -> None:
    """Measure if asked to; print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("docs", type=Path)
    parser.add_argument("--measure", type=Path, nargs=2, metavar=("INDEX", "CORPUS"))
    options = parser.parse_args()
    file = options.docs / "cost.json"
    if options.measure:
        costs = measured(*options.measure)
        file.write_text(json.dumps(costs, indent=1) + "\n", encoding="utf-8")
    costs = json.loads(file.read_text(encoding="utf-8"))
    recall = json.loads((options.docs / "recall.json").read_text(encoding="utf-8"))
    costs["operations"] = operations(recall)
    print(f"F: {costs['operations'] / 1e9:.0f} billion operations a second and core\n")
    print("\n".join(one_core(costs)))
    print()
    print("\n".join(nodes(costs)))
    print()
    print("\n".join(calls()))


# -- measuring -----------------------------------------------------------------------------------


class TimedEmbedder(WrappedEmbedder):
    """Counts the texts, and the processor time that embedding them takes."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__(embedder)
        self._own = embedder
        self.seconds, self.texts = 0.0, 0

    def embed(self, texts: Sequence[str], progress: Advance = lambda done: None) -> Vectors:
        """See `Embedder`."""
        started = time.process_time()
        vectors = self._own.embed(texts, progress)
        self.seconds += time.process_time() - started
        self.texts += len(set(texts))
        return vectors


class StageTimes(Silent):
    """Counts the processor time of stages by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """See `Progress`."""
        started = time.process_time()
        yield lambda steps: None
        self.seconds[name] += time.process_time() - started


def measured(index: Path, corpus: Path) -> dict[str, Any]:
    """Processor seconds that an utterance takes in each stage, and a text that is embedded."""
    found = Index.load(index)
    timed = TimedEmbedder(load_index_embedder(found.embedder))
    stages = StageTimes()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "many.jsonl"
        write_corpus(read_corpus(corpus), UTTERANCES, file)
        settings = resolve_settings({"llm": {"model": "none"}})
        started = time.process_time()
        predict_stream(
            CorpusStream(file, found.labels),
            settings,
            Path(folder) / "run",
            index=found,
            embedder=timed,
            progress=stages,
        )
        whole = time.process_time() - started
    reading, labelling = stages.seconds["reading"], stages.seconds["labelling"]
    return {
        "utterances": UTTERANCES,
        "windows": len(found.examples),
        "reading": reading / UTTERANCES,
        "joining": (whole - reading - labelling) / UTTERANCES,
        "labelling": (labelling - timed.seconds) / UTTERANCES,
        "embedding": timed.seconds / timed.texts,
    }


def operations(recall: Sequence[dict[str, Any]]) -> float:
    """Multiplications and additions of exact search, a second and core."""
    exact = [one for one in recall if one["factory"] == "Flat" and one["vectors"] <= 1_000_000]
    largest = max(exact, key=lambda one: one["vectors"])
    asked = float(largest["queries_per_second"])
    return asked * 2 * float(largest["vectors"]) * DIMENSION / float(largest["cores"])


# -- the model -----------------------------------------------------------------------------------


def stages(costs: dict[str, Any], count: int, windows: int) -> dict[str, float]:
    """Seconds of one core that each stage takes."""

    def searching(size: int) -> float:
        return 2.0 * size * DIMENSION / float(costs["operations"])

    deciding = max(costs["labelling"] - searching(costs["windows"]), 0)
    return {
        "reading and joining": count * (costs["reading"] + costs["joining"]),
        "embedding": count * NEW * costs["embedding"],
        "searching": count * searching(windows),
        "deciding": count * deciding,
    }


def one_core(costs: dict[str, Any]) -> Iterator[str]:
    """A table of what each stage takes."""
    names = list(stages(costs, 1, 1))
    yield f"| utterances | windows | {' | '.join(names)} | most |"
    yield "| ---: | ---: |" + " ---: |" * len(names) + " --- |"
    for count, windows in SIZES:
        found = stages(costs, count, windows)
        cells = " | ".join(told(seconds) for seconds in found.values())
        most = max(found, key=found.__getitem__)
        share = found[most] / sum(found.values())
        yield f"| {count:,} | {windows:,} | {cells} | {most}, {share:.0%} |"


def nodes(costs: dict[str, Any]) -> Iterator[str]:
    """A table of what clusters take; one machine reads and joins while others work."""
    heads = " | ".join(f"{number} x {CORES} cores" for number in NODES)
    yield f"| utterances | windows | {heads} | held up by |"
    yield "| ---: | ---: |" + " ---: |" * len(NODES) + " --- |"
    for count, windows in SIZES[2:]:
        found = stages(costs, count, windows)
        alone = found.pop("reading and joining")
        shared = {number: sum(found.values()) / (number * CORES) for number in NODES}
        cells = " | ".join(told(alone + seconds) for seconds in shared.values())
        last = shared[NODES[-1]]
        what = "reading and joining" if alone > last else max(found, key=found.__getitem__)
        yield f"| {count:,} | {windows:,} | {cells} | {what} |"


def calls() -> Iterator[str]:
    """A table of what a language model is asked, eight demonstrations and context turns each."""
    yield "| utterances | votes | calls | prompt tokens | answer tokens | time |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    for count in (10_000, 1_000_000, 100_000_000):
        for votes in (1, 5):
            asked = count * votes
            tokens = asked * (INTRODUCTION + 8 * DEMONSTRATION + 8 * TURN)
            seconds = told(60 * asked / LIMIT)
            yield (
                f"| {count:,} | {votes} | {asked:,} | {tokens / 1e6:,.0f} M | "
                f"{asked * ANSWER / 1e6:,.1f} M | {seconds} |"
            )


def told(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"


if __name__ == "__main__":
    main()
