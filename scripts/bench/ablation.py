"""How much longer a grid of 7 depths and 7 contexts takes than one cell of it.

    python scripts/bench/ablation.py INDEX CORPUS [--rounds 3]

All are `ragemo ablate` from the start of the process to its end, without a language model. The
index's neighbours vote alone, so that the depth is what matters. Two cells are tried alone: one of
the context the index was built with, whose voters are fitted already, and one of another, as six of
the grid's seven are. They take turns, and the quickest round counts: whatever else the machine does
only makes them slower. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path

GRID = Path(__file__).parents[2] / "configs/ablation/depth_x_context.yaml"

ONE_CELL = """\
llm: {model: none}
ablation:
  name: one_cell
  cells:
    - {name: one, retrieval.k: 8, retrieval.neighbours: 8, retrieval.context_length: %d}
"""

CONTEXTS = {"as built": 8, "another context": 4}


def main() -> None:
    """Run both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        designs = {"grid": GRID}
        for name, context in CONTEXTS.items():
            designs[name] = Path(folder) / f"{name}.yaml"
            designs[name].write_text(ONE_CELL % context, encoding="utf-8")
        for number in range(options.rounds):
            for name, design in designs.items():
                out = Path(folder) / f"{name} {number}"
                took = seconds_of(design, options.index, options.corpus, out)
                seconds[name] = min(took, seconds.get(name, took))
    figures = {f"seconds, {name}": took for name, took in seconds.items()}
    for name in CONTEXTS:
        figures[f"ratio, {name}"] = seconds["grid"] / seconds[name]
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


def seconds_of(file: Path, index: Path, corpus: Path, out: Path) -> float:
    """Wall time of one ablation in a new process."""
    command = ["ragemo", "ablate", file, "--data", corpus, "--index", index, "--out", out]
    command += ["--set", "voting.voters=[neighbours]", "--quiet"]
    process = get_context("spawn").Process(target=run, args=(list(map(str, command)),))
    started = time.perf_counter()
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"exit code {process.exitcode}")
    return time.perf_counter() - started


def run(command: list[str]) -> None:
    """The command line, without its table."""
    from ragemo.__main__ import main as ragemo

    sys.argv = command
    with redirect_stdout(io.StringIO()):
        ragemo()


if __name__ == "__main__":
    main()
