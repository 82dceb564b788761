"""Peak memory and speed of labelling ever larger corpora as a stream, with a plot of both.

    python scripts/bench/scale.py INDEX CORPUS [--sizes 10000 100000 1000000] [--out FOLDER]

The corpora are CORPUS's dialogues again and again under new ids; one in ten of their utterances
ends with a seeded number, so that its text is new to the embedder; the other nine are embedded
once, as are the "Yeah." and "Okay." of a real archive. Each corpus is labelled by the index's own
voters, `ragemo predict --stream --llm none` in a process of its own that begins without kept
vectors. Prints a line of JSON for each size: the process's peak memory; utterances a second, which
depend on what else the machine does; and utterances for each second of processor time, which
hardly do. --out keeps them in scale.json, beside images/scale.svg; sizes that are not measured
again keep their lines.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragemo import read_corpus
from ragemo.models import cache_folder
from ragemo.types import Corpus

SIZES = (10_000, 100_000, 1_000_000)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--out", type=Path, help="the folder of scale.json and the plot")
    options = parser.parse_args()
    corpus = read_corpus(options.corpus)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "scale.json" if options.out else None
    known = json.loads(kept.read_text(encoding="utf-8")) if kept and kept.is_file() else []
    lines = {one["utterances"]: one for one in known}
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "many.jsonl"
            write_corpus(corpus, size, file)
            lines[size] = measured(options.index, file, Path(folder) / "run", size)
        print(json.dumps(lines[size]), flush=True)
    if kept:
        ordered = [lines[size] for size in sorted(lines)]
        kept.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
        draw(ordered, options.out / "images" / "scale.svg")


def write_corpus(corpus: Corpus, size: int, file: Path) -> None:
    """So many utterances as JSON lines."""
    dice, written, round_ = random.Random(0), 0, 0
    with file.open("w", encoding="utf-8") as out:
        while written < size:
            for dialogue in corpus.dialogues:
                for utterance in dialogue.utterances[: size - written]:
                    text = next(iter(utterance.hypotheses.values()))
                    new = round_ and not dice.randrange(10)
                    record = {
                        "id": f"{round_}/{utterance.id}",
                        "dialogue_id": f"{round_}/{dialogue.id}",
                        "turn": utterance.turn,
                        "speaker": utterance.speaker,
                        "text": f"{text} {dice.randrange(10**9)}" if new else text,
                    }
                    out.write(json.dumps(record) + "\n")
                    written += 1
            round_ += 1


def measured(index: Path, file: Path, out: Path, size: int) -> dict[str, Any]:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "ragemo", "predict", str(file), "--stream", "--quiet"]
    command += ["--llm", "none", "--index", str(index), "--out", str(out)]
    started = time.perf_counter()
    # A cache of its own, with the models of the usual one.
    cache = out.with_name("cache")
    cache.mkdir()
    (cache / "models").symlink_to(cache_folder().resolve() / "models")
    process = subprocess.Popen(
        command, env={**os.environ, "RAGEMO_CACHE": str(cache)}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    busy = usage.ru_utime + usage.ru_stime
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{size:,} utterances: exit code {process.returncode}")
    return {
        "utterances": size,
        "seconds": round(seconds, 1),
        "processor_seconds": round(busy, 1),
        "utterances_per_second": round(size / seconds, 1),
        "utterances_per_processor_second": round(size / busy, 1),
        "peak_megabytes": round(usage.ru_maxrss / 1024),
    }


def draw(lines: Sequence[dict[str, Any]], file: Path) -> None:
    """Memory and speed over the number of utterances."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "ragemo"  # the same figures give the same file
    sizes = [one["utterances"] for one in lines]
    drawing, panels = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axes, name, title in zip(
        panels,
        ("peak_megabytes", "utterances_per_processor_second"),
        ("Peak memory, MB", "Utterances a second of one core"),
        strict=True,
    ):
        values = [one[name] for one in lines]
        axes.plot(sizes, values, marker="o", color="#2f6f9f")
        axes.set_xscale("log")
        axes.set_ylim(0, 1.15 * max(values))
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("utterances")
        axes.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(file, metadata={"Date": None})
    pyplot.close(drawing)


if __name__ == "__main__":
    main()
