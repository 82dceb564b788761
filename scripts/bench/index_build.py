"""Index build against plain `SentenceTransformer.encode`, in one run on the same texts.

    python scripts/bench/index_build.py TRAIN DEV [--out FILE.json]

TRAIN and DEV are labelled corpora, MELD's train_sent_emo.csv and dev_sent_emo.csv for the
figures in the README. Measured, after both models are loaded and have embedded a few texts:

    encode     SentenceTransformer.encode with default arguments on all training texts
    embed      ragemo's embedder (int8, each distinct text once, one at a time) on the same texts
    build      the whole index build: transcripts, embedding, composition, FAISS, fitting the
               neighbour voter, and the folder on disk

and the weighted F1 of the neighbour voter on DEV with each embedder's vectors. Seconds differ
from machine to machine; the ratios are what the benchmark is for.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from ragemo import Index, load_embedder, predict, read_corpus, resolve_settings, score_run
from ragemo.models import ensure_model
from ragemo.retrieval.embedder import Embedder
from ragemo.types import Corpus


def weighted_f1(index: Index, embedder: Embedder, dev: Corpus, folder: Path) -> float:
    """Of the neighbour voter alone."""
    settings = resolve_settings()
    run = predict(dev, settings, folder, index=index, embedder=embedder)
    return score_run(run).weighted_f1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("dev", type=Path)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON, too")
    arguments = parser.parse_args()
    train, dev = read_corpus(arguments.train), read_corpus(arguments.dev)
    texts = [next(iter(utterance.hypotheses.values())) for utterance in train.utterances]

    from sentence_transformers import SentenceTransformer

    folder = str(ensure_model("minilm"))
    plain = SentenceTransformer(folder, device="cpu")
    ours = load_embedder()
    exact = load_embedder(precision="fp32")
    plain.encode(texts[:64])
    ours.embed(texts[:64])

    started = time.perf_counter()
    plain.encode(texts)
    encode = time.perf_counter() - started
    started = time.perf_counter()
    ours.embed(texts)
    embed = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as temporary:
        started = time.perf_counter()
        index = Index.build(train, ours)
        index.save(Path(temporary) / "index")
        build = time.perf_counter() - started
        int8 = weighted_f1(index, ours, dev, Path(temporary) / "int8")
        reference = Index.build(train, exact)
        fp32 = weighted_f1(reference, exact, dev, Path(temporary) / "fp32")
    figures = {
        "utterances": len(texts),
        "distinct_texts": len(set(texts)),
        "encode_seconds": round(encode, 2),
        "embed_seconds": round(embed, 2),
        "build_seconds": round(build, 2),
        "embed_over_encode": round(embed / encode, 3),
        "build_over_encode": round(build / encode, 3),
        "weighted_f1_int8": round(int8, 4),
        "weighted_f1_fp32": round(fp32, 4),
    }
    text = json.dumps(figures, indent=2)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
