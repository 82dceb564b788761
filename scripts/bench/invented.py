"""Finished runs of invented predictions, as large as one likes, for what reads runs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from ragemo.files import write_json
from ragemo.labels import LabelSet, load_labels
from ragemo.runs.manifest import FORMAT, KIND
from ragemo.runs.records import RunUtterance, utterance_line, verdict_line
from ragemo.types import Turn, Verdict


def write_run(folder: Path, predictions: int, *, seed: int = 0, right: float = 0.6) -> None:
    """A finished run in dialogues of ten; a million take 700 MB of disk and no memory.

    Utterances and gold labels are always the same; the seed is that of the predictions.
    """
    labels = load_labels("meld")
    folder.mkdir(parents=True)
    manifest = {
        "kind": KIND,
        "format": FORMAT,
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
    write_json(folder / "manifest.json", manifest)
    write_json(folder / "panel.json", {"parts": []})
    for name in ("ballots.jsonl", "prompts.jsonl", "examples.jsonl"):
        (folder / name).touch()
    with (
        (folder / "utterances.jsonl").open("w", encoding="utf-8") as utterances,
        (folder / "verdicts.jsonl").open("w", encoding="utf-8") as verdicts,
    ):
        for utterance, verdict in _predicted(predictions, labels, seed, right):
            utterances.write(utterance_line(utterance))
            verdicts.write(verdict_line(verdict, 0, ()))


def _predicted(
    predictions: int, labels: LabelSet, seed: int, right: float
) -> Iterator[tuple[RunUtterance, Verdict]]:
    spoken, said = random.Random(0), random.Random(seed + 1)
    for number in range(predictions):
        dialogue = f"d{number // 10:05}"
        turn = Turn(
            utterance_id=f"{dialogue}_{number % 10}",
            dialogue_id=dialogue,
            turn=number % 10,
            speaker=spoken.choice("ABC"),
            session=None,
            text=" ".join(["word"] * spoken.randrange(20)),
            source="asr",
        )
        gold = spoken.choice(labels.names)
        label = gold if said.random() < right else said.choice(labels.names)
        shares = tuple(0.7 if name == label else 0.3 / (len(labels) - 1) for name in labels.names)
        verdict = Verdict(turn.utterance_id, label, shares, 0.7, 1.0)
        yield RunUtterance(turn, gold, True, number), verdict
