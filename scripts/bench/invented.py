"""Finished runs of invented predictions, as large as one likes, for what reads runs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ragemo.files import write_json
from ragemo.labels import LabelSet, load_labels
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.runs.manifest import FORMAT, KIND
from ragemo.runs.records import RunUtterance, ballot_line, utterance_line, verdict_line
from ragemo.types import Ballot, Distribution, Turn, Verdict
from ragemo.voting.panel import Panel, untried_panel
from ragemo.voting.transitions import Links, count_transitions

MODEL = "model"


def write_run(
    folder: Path,
    predictions: int,
    *,
    seed: int = 0,
    right: float = 0.6,
    labels: str = "meld",
    voters: Sequence[str] = (),
) -> None:
    """A finished run in dialogues of ten; a million take 700 MB of disk and no memory.

    Args:
        folder: the run's.
        predictions: how many.
        seed: of the predictions; utterances and gold labels are always the same.
        right: share of them that is right.
        labels: the label set.
        voters: those whose ballots there are, one on each utterance; 300 MB a million each.
    """
    kinds = load_labels(labels)
    folder.mkdir(parents=True)
    index = {
        "fingerprint": "0" * 64,
        "corpus": {},
        "embedder": {},
        "label_counts": dict.fromkeys(kinds.names, 100),
    }
    manifest = {
        "kind": KIND,
        "format": FORMAT,
        "ragemo": "0.1.0",
        "settings": {"retrieval": {"k": 8}, "limit": None, "voting": {"voters": None}},
        "corpus": {"file": "invented.csv", "format": kinds.name, "sha256": "0" * 64},
        "transcript": "first",
        "uses_reference_transcripts": False,
        "notes": [],
        "labels": kinds.to_dict(),
        "index": index if voters else None,
        "llm": None,
        "imported": [],
    }
    write_json(folder / "manifest.json", manifest)
    write_json(folder / "panel.json", {"parts": [_panels(voters, kinds)] if voters else []})
    for name in ("prompts.jsonl", "examples.jsonl"):
        (folder / name).touch()
    with ExitStack() as stack:
        utterances, verdicts, ballots = (
            stack.enter_context((folder / f"{name}.jsonl").open("w", encoding="utf-8"))
            for name in ("utterances", "verdicts", "ballots")
        )
        voted = random.Random(seed + 2)
        for utterance, verdict in _predicted(predictions, kinds, seed, right):
            utterances.write(utterance_line(utterance))
            verdicts.write(verdict_line(verdict, 0, ()))
            for voter in voters:
                said = utterance.gold if voted.random() < right else voted.choice(kinds.names)
                shares = _leaning(str(said), kinds, 1.0 if voter == MODEL else voted.random())
                ballot = Ballot(verdict.utterance_id, voter, distribution=shares)
                ballots.write(ballot_line(ballot))


def _panels(voters: Sequence[str], labels: LabelSet) -> dict[str, Any]:
    """The record of a panel of voters, and of the index's own alone."""
    nobody = np.zeros(0, dtype=np.int64)
    even = np.full(len(labels), 1 / len(labels))
    transitions = count_transitions(Links(nobody, nobody), nobody, even)

    def panel(own: Sequence[str]) -> Panel:
        made = untried_panel("log", own, len(labels))
        return replace(made, decoder="filter", transitions=transitions, threshold=0.9)

    alone = [voter for voter in voters if voter in INDEX_VOTERS]
    return {
        "left_out": [],
        "panel": panel(voters).to_dict(),
        "index_alone": panel(alone).to_dict(),
        "weighed": [
            {"voter": voter, "weight": 1.0, "by": "nothing"}
            for voter in voters
            if voter not in alone
        ],
    }


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


def _leaning(label: str, labels: LabelSet, much: float) -> Distribution:
    """Even shares, with so much of all moved to one label."""
    rest = (1 - much) / len(labels)
    return tuple(much + rest if name == label else rest for name in labels.names)
