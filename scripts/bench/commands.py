"""How long commands take that people wait for: `ragemo --help`, and `ragemo score` of a big run.

    python scripts/bench/commands.py

The run is invented: 10,000 predictions in dialogues of ten, drawn with a fixed seed. The score
has the usual 1,000 bootstrap samples. Each command is started anew five times, and the quickest
counts: whatever else the machine does only ever makes it slower. Prints a line of JSON each, as
all scripts do that `scripts/bench/performance.py` runs.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ragemo.labels import load_labels
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run
from ragemo.types import Turn, Verdict

PREDICTIONS = 10_000
STARTS = 5


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "run"
        write_run(run)
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


def write_run(folder: Path) -> None:
    """A finished run of invented predictions."""
    labels = load_labels("meld")
    dice = random.Random(0)
    utterances, verdicts = [], []
    for number in range(PREDICTIONS):
        dialogue = f"d{number // 10:05}"
        turn = Turn(
            utterance_id=f"{dialogue}_{number % 10}",
            dialogue_id=dialogue,
            turn=number % 10,
            speaker=dice.choice("ABC"),
            session=None,
            text=" ".join(["word"] * dice.randrange(20)),
            source="asr",
        )
        gold = dice.choice(labels.names)
        label = gold if dice.random() < 0.6 else dice.choice(labels.names)
        shares = tuple(0.7 if name == label else 0.3 / (len(labels) - 1) for name in labels.names)
        utterances.append(RunUtterance(turn, gold, True, number))
        verdicts.append(Verdict(turn.utterance_id, label, shares, 0.7, 1.0))
    manifest = {
        "ragemo": "0.1.0",
        "settings": {"retrieval": {"k": 8}, "limit": None, "voting": {"voters": None}},
        "corpus": {"file": "invented.csv", "format": labels.name, "sha256": "0" * 64},
        "transcript": "first",
        "uses_reference_transcripts": False,
        "notes": [],
        "labels": labels.to_dict(),
        "index": None,
        "llm": None,
        "imported": [],
    }
    run = Run.create(folder, manifest, utterances, [])
    run.finish(verdicts, {}, panels=[])
    run.close()


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
