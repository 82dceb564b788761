"""How long commands take that people wait for: `ragemo --help`, and `ragemo score` of a big run.

    python scripts/bench/commands.py

The run is invented: 10,000 predictions in dialogues of ten, drawn with a fixed seed. The score
has the usual 1,000 bootstrap samples. Each command is started anew five times, and the quickest
counts: whatever else the machine does only ever makes it slower. Prints a line of JSON each, as
all scripts do that `scripts/bench/performance.py` runs.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from invented import write_run

PREDICTIONS = 10_000
STARTS = 5


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "run"
        write_run(run, PREDICTIONS)
        figures = [
            figure("ragemo --help", quickest(["--help"]), 0.3, "imports of typer"),
            figure(
                f"ragemo score, {PREDICTIONS:,} predictions, 1,000 samples",
                quickest(["score", str(run)]),
                2.0,
                "imports of numpy and rich, reading the run's files",
            ),
        ]
    for one in figures:
        print(json.dumps(one))


def quickest(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds of wall time and of processor time of a command, started anew each time."""
    command = [sys.executable, "-m", "ragemo", *arguments]
    wall, busy = [], []
    for _ in range(STARTS):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(wall), min(busy)


def figure(
    name: str, seconds: tuple[float, float], target: float, limited_by: str
) -> dict[str, object]:
    """A line of the table: seconds, against the seconds that it may take."""
    wall, busy = seconds
    return {
        "name": name,
        "ours": round(wall, 3),
        "reference": target,
        "ratio": round(wall / target, 3),
        "unit": "s",
        "target": "at most 1.00",
        "limited_by": f"{limited_by}; {busy:.2f} s of processor time",
    }


if __name__ == "__main__":
    main()
