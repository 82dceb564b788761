"""What every system is given, and how it hands in its answers. Nothing but the standard library."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INSTRUCTION = "You label the emotion of an utterance. Answer with one of: {labels}."


@dataclass
class Task:
    """One system's work.

    Attributes:
        url: of the server, with /v1.
        model: its name there.
        embedder: folder of the sentence-transformers model.
        k: demonstrations a prompt.
        labels: the words that may be answered.
        train: labelled utterances, (text, label).
        asked: texts to label.
        seconds: stage -> how long it took.
    """

    url: str
    model: str
    embedder: str
    k: int
    labels: list[str]
    train: list[tuple[str, str]]
    asked: list[str]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note how long something takes."""
        started = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - started

    def label(self, answer: Any) -> str | None:
        """The label that an answer is, case, space and full stops aside; None if it is none."""
        said = str(answer).strip().strip(".").lower()
        return said if said in self.labels else None


def work(label_all: Callable[[Task], Sequence[str | None]]) -> None:
    """Read the task that the command line names, do it, write the outcome beside it."""
    given, out = map(Path, sys.argv[1:3])
    task = Task(**json.loads(given.read_text(encoding="utf-8")))
    answers = list(label_all(task))
    outcome = {"answers": answers, "seconds": task.seconds}
    out.write_text(json.dumps(outcome), encoding="utf-8")
