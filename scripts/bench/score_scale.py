"""Peak memory and seconds of the commands that read a finished run, on ever larger ones.

    python scripts/bench/score_scale.py [--sizes 10000 100000 1000000] [--only report export]

The runs are invented, in dialogues of ten. "index alone" is the score of a run with the ballots of
the index's voters and of a language model, which `calibrate` and `report` read, too. Each command
has its usual bootstrap samples and runs in a process of its own. Prints a line of JSON for each
size and command: the peak memory of the process, and its processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invented import MODEL, write_run

from ragemo.retrieval.voters import INDEX_VOTERS

SIZES = (10_000, 100_000, 1_000_000)

COMMANDS = {
    "score": ["score", "one"],
    "score --slices": ["score", "one", "--slices"],
    "compare": ["compare", "one", "other"],
    "export": ["export", "one", "--out", "table.csv", "--overwrite"],
    "submit": ["submit", "coded", "--overwrite"],
    "index alone": ["score", "asked"],
    "calibrate": ["calibrate", "asked", "--out", "weights.json", "--overwrite"],
    "report": ["report", "asked"],
}

RUNS: Mapping[str, Mapping[str, Any]] = {
    "one": {},
    "other": {"seed": 1, "right": 0.62},
    "coded": {"labels": "gensec"},
    "asked": {"voters": (*INDEX_VOTERS, MODEL)},
}
"""Name -> how it is made."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--only", choices=COMMANDS, nargs="*", default=list(COMMANDS))
    options = parser.parse_args()
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name in options.only:
                for run in set(COMMANDS[name]) & RUNS.keys():
                    if not (folder / run).exists():
                        write_run(folder / run, size, **RUNS[run])
                print(json.dumps({"predictions": size, **measured(name, COMMANDS[name], folder)}))
                sys.stdout.flush()


def measured(name: str, arguments: list[str], folder: Path) -> dict[str, object]:
    """One command in a process of its own."""
    command = [sys.executable, "-m", "ragemo", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"ragemo {name}: exit code {process.returncode}")
    return {
        "command": name,
        "peak_megabytes": round(usage.ru_maxrss / 1024),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
    }


if __name__ == "__main__":
    main()
