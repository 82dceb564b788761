"""Peak memory and seconds of `ragemo score` and `ragemo compare` on ever larger runs.

    python scripts/bench/score_scale.py [--sizes 10000 100000 1000000]

The runs are invented, in dialogues of ten. Each command has its usual bootstrap samples and runs
in a process of its own. Prints a line of JSON for each size and command: the peak memory of the
process, and its processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from invented import write_run

SIZES = (10_000, 100_000, 1_000_000)

COMMANDS = {
    "score": ["score", "one"],
    "score --slices": ["score", "one", "--slices"],
    "compare": ["compare", "one", "other"],
    "export": ["export", "one", "--out", "table.csv", "--overwrite"],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    options = parser.parse_args()
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_run(folder / "one", size)
            write_run(folder / "other", size, seed=1, right=0.62)
            for name, arguments in COMMANDS.items():
                print(json.dumps({"predictions": size, **measured(name, arguments, folder)}))
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
