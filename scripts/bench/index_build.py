"""Index build against `SentenceTransformer.encode` and the raw forward pass, in one run.

    python scripts/bench/index_build.py --data data/meld

On the texts of MELD's training split, after all models are loaded and have embedded a few:

    encode     SentenceTransformer.encode with default arguments, each time on an eighth of the
               batches that it would make of all texts, as it takes so long; its seconds count
               eight times
    forward    the int8 graph alone, on the distinct texts, cut into tokens and put into batches
               beforehand, one thread a core
    tokens     ragemo's cutting of the distinct texts into tokens, each word once, from none known;
               the processor's time, not the clock's
    cut        the same by the tokeniser itself, all texts at once
    embed      ragemo's embedder: texts in, vectors out
    index      the index of windows: transcripts, embedding, composition, FAISS, and the folder on
               disk, but for its voters, which are given
    build      all that `ragemo index build` does: that, and the index's own voters fitted; nothing
               kept from an earlier one
    again      `ragemo index build --overwrite` of the same corpus: the vectors are kept from the
               build before, and the voters those of the index in the folder

There are as many turns as `--turns` says, each in the other direction. Shared machines change their
speed by a third from one minute to the next, so `encode` and `forward` are measured several times a
turn, before and after what is compared with them, and their mean counts. A ratio is the median of
those of single turns; utterances a second are medians, too. Prints a line of JSON each. With `--f1`
the index's voters are asked about the development split, too, in int8 and fp32.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

from ragemo import Index, load_embedder, predict, read_corpus, resolve_settings, score_run
from ragemo.cores import cores
from ragemo.models import ensure_model
from ragemo.retrieval.embedding.embedder import MAX_TOKENS, Embedder, OnnxEmbedder
from ragemo.retrieval.embedding.token_batches import TokenBatches
from ragemo.retrieval.embedding.vector_cache import CachedEmbedder
from ragemo.retrieval.embedding.word_tokens import WordTokens
from ragemo.retrieval.folder import take_voters
from ragemo.types import Corpus

WARM_UP = 64
SHARES = 8
BATCH = 32  # of SentenceTransformer.encode by default, which puts texts of one length together

TURN = (
    *("encode", "build", "encode"),
    *("forward", "index", "forward", "embed", "forward"),
    *("encode", "tokens", "cut", "again", "embed again"),
)
"""The stages of a turn, in the order of every other one."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="MELD's folder")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--f1", action="store_true", help="weighted F1 on the dev split, too")
    options = parser.parse_args()
    train = read_corpus(options.data / "train_sent_emo.csv")
    texts = [next(iter(utterance.hypotheses.values())) for utterance in train.utterances]

    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(ensure_model("minilm")), device="cpu")
    ours = OnnxEmbedder.load()
    plain.encode(texts[:WARM_UP], show_progress_bar=False)
    ours.embed(texts[:WARM_UP])
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    tokenizer = ours.tokens.tokenizer

    def new() -> OnnxEmbedder:
        """The embedder as another process has it: it knows the tokens of no word."""
        return replace(ours, tokens=WordTokens(tokenizer, MAX_TOKENS))

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kept = CachedEmbedder(ours, folder / "kept.sqlite")

        def build(embedder: Embedder, *, again: bool = False) -> None:
            index = Index.build(train, embedder)
            if again:
                assert take_voters(index, folder / "index")
            index.save(folder / "index", overwrite=True)

        first_index = Index.build(train, kept)
        voters = first_index.fitted
        first_index.save(folder / "index")

        def build_windows() -> None:
            index = Index.build(train, new())
            index.fitted = voters
            index.save(folder / "windows", overwrite=True)

        by_length = sorted(texts, key=len, reverse=True)
        batches = [by_length[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        shares = cycle(
            [text for batch in batches[first::SHARES] for text in batch] for first in range(SHARES)
        )
        stages: dict[str, Callable[[], object]] = {
            "encode": lambda: plain.encode(next(shares), show_progress_bar=False),
            "forward": forward_pass(ours, distinct),
            "tokens": lambda: new().tokens.encode(distinct),
            "cut": lambda: [encoding.ids for encoding in tokenizer.encode_batch_fast(distinct)],
            "embed": lambda: new().embed(texts),
            "index": build_windows,
            "build": lambda: build(new()),
            "again": lambda: build(kept, again=True),
            "embed again": lambda: kept.embed(texts),
        }
        seconds: dict[str, list[float]] = {name: [] for name in stages}
        # What the other libraries hold is not gone through again in the middle of a stage.
        gc.collect()
        gc.freeze()
        for turn in range(options.turns):
            own: dict[str, list[float]] = {name: [] for name in stages}
            for name in TURN if turn % 2 else reversed(TURN):
                clock = time.process_time if name in ("tokens", "cut") else time.perf_counter
                own[name].append(timed(stages[name], clock))
            for name, some in own.items():
                seconds[name].append(statistics.mean(some) * (SHARES if name == "encode" else 1))
        for line in lines(seconds, len(texts)):
            print(json.dumps(line))
        if options.f1:
            dev = read_corpus(options.data / "dev_sent_emo.csv")
            print(json.dumps(accuracy_line(train, dev, folder)))


def forward_pass(embedder: OnnxEmbedder, distinct: list[str]) -> Callable[[], None]:
    """The graph alone."""
    gathered = TokenBatches()
    full = gathered.add(0, embedder.tokens.encode(distinct))
    batches = [batch.tokens for batch in full + gathered.rest()]

    def run() -> None:
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(lambda ids: embedder.session.run(None, {"input_ids": ids}), batches))

    return run


def timed(stage: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds by a clock."""
    started = clock()
    stage()
    return clock() - started


def lines(seconds: dict[str, list[float]], count: int) -> list[dict[str, Any]]:
    """The table's lines, in utterances a second."""
    forward, fit = "the forward pass", "fitting the index's voters"
    compared = [
        ("index build against encode", "build", "encode", "at least 3.50", fit),
        ("index of windows against encode", "index", "encode", "at least 3.50", forward),
        ("embedding against encode", "embed", "encode", "at least 3.50", forward),
        ("index build against the raw forward pass", "build", "forward", None, fit),
        (
            "index of windows against the raw forward pass",
            "index",
            "forward",
            "at least 0.90",
            "the forward pass, and writing",
        ),
        ("embedding against the raw forward pass", "embed", "forward", "at least 0.90", forward),
        (
            "tokens against the tokeniser's own, processor time",
            "tokens",
            "cut",
            None,
            "the dictionary of words",
        ),
        ("unchanged index build against the first", "again", "build", "at least 10.00", "reading"),
        (
            "unchanged embedding against the first",
            "embed again",
            "embed",
            "at least 10.00",
            "SQLite",
        ),
    ]
    return [
        {
            "name": name,
            "ours": round(count / statistics.median(seconds[own]), 1),
            "reference": round(count / statistics.median(seconds[reference]), 1),
            "ratio": round(
                statistics.median(
                    theirs / ours
                    for theirs, ours in zip(seconds[reference], seconds[own], strict=True)
                ),
                3,
            ),
            "unit": "utterances/s",
            "target": target,
            "limited_by": limit,
        }
        for name, own, reference, target, limit in compared
    ]


def accuracy_line(train: Corpus, dev: Corpus, folder: Path) -> dict[str, Any]:
    """Weighted F1 of the index's voters on other dialogues, in percent, in both precisions."""
    settings = resolve_settings(overrides={"llm.model": "none"})
    found = {}
    for precision in ("int8", "fp32"):
        embedder = load_embedder(precision=precision)
        index = Index.build(train, embedder)
        run = predict(dev, settings, folder / precision, index=index, embedder=embedder)
        found[precision] = 100 * score_run(run).weighted_f1
    return {
        "name": "weighted F1 on dev, int8 against fp32",
        "ours": round(found["int8"], 2),
        "reference": round(found["fp32"], 2),
        "ratio": round(found["int8"] / found["fp32"], 4),
        "unit": "%",
        "target": f"at least {1 - 0.5 / found['fp32']:.4f}",
        "limited_by": "seven bits a weight",
    }


if __name__ == "__main__":
    main()
