"""What stands in a run's files, and the lines it becomes."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ragemo.corpus.checked import MOST, NO_RECORD, plain, require, typed, typed_turn
from ragemo.errors import RunFolderError
from ragemo.files import file_in, parse_json
from ragemo.labels import LabelSet
from ragemo.llm.ballots import check_ballot, plain_ballot, read_ballot
from ragemo.runs.checks import check_demonstration
from ragemo.types import Ballot, Demonstration, Message, Prompt, Turn, Verdict, Window

Value = TypeVar("Value")

KEPT_LINES = 32_768
"""So many lines of examples are kept: the cells of a sweep show the same ones again and again."""


@dataclass(frozen=True, slots=True)
class RunUtterance:
    """An utterance as a run keeps it: what was seen, and what it is scored and looked at by.

    Attributes:
        turn: the turn with the transcript that was used.
        gold: the gold label, where the corpus has one of the label set.
        predicted: whether the run predicts it (otherwise it is context).
        row: its place in the corpus file, from 0.
        hypotheses: ASR system -> transcript, all there were.
        reference: the human transcript of an ASR corpus; kept to be looked at, and used for
            nothing else unless the manifest says so.
        duplicate: whether these very words (case and punctuation aside) stand in an example of
            the index that could speak to it; None without an index, or where it is not predicted.
    """

    turn: Turn
    gold: str | None
    predicted: bool
    row: int = 0
    hypotheses: Mapping[str, str] = field(default_factory=dict)
    reference: str | None = None
    duplicate: bool | None = None


@dataclass(frozen=True, slots=True)
class AskedPrompt:
    """A prompt about a target, as it was sent or would have been.

    Attributes:
        prompt: its messages, form and tokens; demonstrations are told by `shown` alone.
        model: who was asked, the voter's name in its ballots.
        samples: the numbers of its answers among that voter's ballots on the utterance.
        variant: what sets it apart from the utterance's first prompt, in words.
        shown: ids of the demonstrations in it, the most wanted first.
    """

    prompt: Prompt
    model: str
    samples: tuple[int, ...]
    variant: str = ""
    shown: tuple[str, ...] = ()


_encode = json.JSONEncoder(ensure_ascii=False).encode


def line(data: Mapping[str, Any]) -> str:
    """One record as a line of JSON."""
    return _encode(data) + "\n"


def ballot_line(ballot: Ballot) -> str:
    """A line of ballots.jsonl."""
    return line(plain_ballot(ballot))


def all_ballots(folder: Path, labels: LabelSet) -> list[Ballot]:
    """What ballots.jsonl holds; where a failed call was made again, the last one counts."""
    found: dict[Hashable, Ballot] = {}  # a later one takes the place of the first
    for ballot in each_line(folder, "ballots.jsonl", _ballot_reader(labels)):
        found[ballot.key] = ballot
    return list(found.values())


def each_ballot(folder: Path, labels: LabelSet) -> Iterator[Ballot]:
    """The same one after the other, of a run that may not fit into memory."""

    def raw_key(record: dict[str, Any]) -> Hashable:
        sample, purpose = record.get("sample", 0), record.get("purpose", "verdict")
        return purpose, record["utterance_id"], record["voter"], sample

    return each_last(
        folder,
        "ballots.jsonl",
        _ballot_reader(labels),
        key=lambda ballot: ballot.key,
        raw_key=raw_key,
    )


def _ballot_reader(labels: LabelSet) -> Callable[[dict[str, Any]], Ballot]:
    return lambda record: check_ballot(read_ballot(record), labels)


def utterance_line(utterance: RunUtterance) -> str:
    """A line of utterances.jsonl."""
    return line(
        {
            **plain(utterance.turn),
            "gold": utterance.gold,
            "predicted": utterance.predicted,
            "row": utterance.row,
            "hypotheses": dict(utterance.hypotheses),
            "reference": utterance.reference,
            "duplicate": utterance.duplicate,
        }
    )


def read_utterance(record: dict[str, Any], labels: LabelSet) -> RunUtterance:
    """What `utterance_line` wrote, if its gold label is one of the set."""
    own = {
        name: record.pop(name)
        for name in ("gold", "predicted", "row", "hypotheses", "reference", "duplicate")
    }
    if own["gold"] not in (None, *labels.names):
        raise ValueError(f"gold {own['gold']!r} is no label of the run")
    require("row", 0 <= own["row"] < MOST)
    return typed(RunUtterance, {**own, "turn": typed_turn(record)})


def prompt_line(asked: AskedPrompt) -> str:
    """A line of prompts.jsonl."""
    prompt = asked.prompt
    return line(
        {
            "utterance_id": prompt.utterance_id,
            "model": asked.model,
            "samples": list(asked.samples),
            "variant": asked.variant,
            "form": prompt.form,
            "tokens": prompt.tokens,
            "shown": list(asked.shown),
            "dropped_demonstrations": prompt.dropped_demonstrations,
            "dropped_context": prompt.dropped_context,
            "messages": [plain(message) for message in prompt.messages],
        }
    )


def read_prompt(record: dict[str, Any]) -> AskedPrompt:
    """What `prompt_line` wrote."""
    who = {name: record.pop(name) for name in ("model", "variant", "samples", "shown")}
    record["messages"] = [typed(Message, message) for message in record["messages"]]
    return typed(AskedPrompt, {**who, "prompt": typed(Prompt, record)})


def verdict_line(verdict: Verdict, part: int, demonstrations: Sequence[Demonstration]) -> str:
    """A line of verdicts.jsonl; what the demonstrations say stands in examples.jsonl."""
    found = [
        {"id": d.window.target.utterance_id, "label": d.label, "similarity": d.similarity}
        for d in demonstrations
    ]
    return line({**plain(verdict), "demonstrations": found, "part": part})


def read_verdict(record: dict[str, Any]) -> Verdict:
    """The verdict of a line of verdicts.jsonl."""
    del record["demonstrations"], record["part"]
    return typed(Verdict, record)


def read_part(record: dict[str, Any]) -> tuple[str, int]:
    """The target of a line of verdicts.jsonl, and the place of the panel that decided."""
    part = int(record["part"])
    require("part", 0 <= part < MOST)
    return str(record["utterance_id"]), part


def example_lines(demonstrations: Iterable[Sequence[Demonstration]]) -> str:
    """examples.jsonl: every labelled window that was found for any target, once."""
    windows = {d.window.target.utterance_id: d.window for found in demonstrations for d in found}
    return "".join(map(_example_line, windows.values()))


@lru_cache(maxsize=KEPT_LINES)
def _example_line(window: Window) -> str:
    return line({"turns": [plain(turn) for turn in window.turns]})


def read_window(record: dict[str, Any]) -> Window:
    """A line of examples.jsonl."""
    return Window(tuple(typed_turn(turn) for turn in record["turns"]))


def each_found(
    folder: Path, labels: LabelSet, targets: Collection[str] | None
) -> Iterator[tuple[str, tuple[Demonstration, ...]]]:
    """The targets of verdicts.jsonl and what was found for each, most wanted first.

    Args:
        folder: of the run.
        labels: the label set.
        targets: those that are wanted; None: all.
    """

    def needed(record: dict[str, Any]) -> set[str]:
        require("utterance_id", isinstance(record["utterance_id"], str))
        asked = targets is None or record["utterance_id"] in targets
        return {one["id"] for one in record["demonstrations"]} if asked else set()

    shown: set[str] = set()
    for names in each_line(folder, "verdicts.jsonl", needed):
        shown |= names
    windows = {
        window.target.utterance_id: window
        for window in each_line(folder, "examples.jsonl", read_window)
        if window.target.utterance_id in shown
    }

    def found(record: dict[str, Any]) -> tuple[str, tuple[Demonstration, ...]] | None:
        if targets is not None and record["utterance_id"] not in targets:
            return None
        return record["utterance_id"], tuple(
            check_demonstration(
                Demonstration(windows[one["id"]], one["label"], float(one["similarity"])), labels
            )
            for one in record["demonstrations"]
        )

    return (one for one in each_line(folder, "verdicts.jsonl", found) if one is not None)


def each_line(folder: Path, name: str, read: Callable[[dict[str, Any]], Value]) -> Iterator[Value]:
    """What the lines of a file of a run's folder hold; a torn one at its end is passed over.

    Args:
        folder, name: of the file.
        read: makes a value of a line's data.

    Raises:
        RunFolderError: naming the line that is not what ragemo writes.
    """
    try:
        with file_in(folder, name).open("rb") as file:
            for number, text in enumerate(file, start=1):
                if not text.endswith(b"\n"):
                    return  # torn
                try:
                    value = read(parse_json(text))
                except NO_RECORD as error:
                    raise RunFolderError(
                        f"{folder / name}:{number}: not a line that ragemo wrote ({error!r}); the "
                        "run is damaged"
                    ) from None
                yield value
    except OSError as error:
        raise RunFolderError(f"{folder / name}: cannot be read: {error}") from None


def count_lines(folder: Path, name: str) -> int:
    """How many lines `each_line` goes through; what they hold is not looked at.

    Raises:
        RunFolderError: if the file cannot be read.
    """
    try:
        with file_in(folder, name).open("rb") as file:
            return sum(text.endswith(b"\n") for text in file)
    except OSError as error:
        raise RunFolderError(f"{folder / name}: cannot be read: {error}") from None


def each_last(
    folder: Path,
    name: str,
    read: Callable[[dict[str, Any]], Value],
    *,
    key: Callable[[Value], Hashable],
    raw_key: Callable[[dict[str, Any]], Hashable],
) -> Iterator[Value]:
    """The same, but of lines with one key the last one counts, in the place of the first.

    The file is read twice. What is kept is eight bytes a line, and those values whose key comes
    more than once.

    Args:
        folder, name, read: as for `each_line`.
        key: of a value.
        raw_key: the same key, of a line's data.
    """
    met = array("q", each_line(folder, name, lambda record: hash(raw_key(record))))
    hashes, counts = np.unique(np.array(met, dtype=np.int64), return_counts=True)
    del met
    again = set(hashes[counts > 1].tolist())
    last: dict[Hashable, Value] = {}
    if again:
        values = each_line(folder, name, read)
        last = {key(value): value for value in values if hash(key(value)) in again}
    for value in each_line(folder, name, read):
        if hash(key(value)) not in again:
            yield value
        elif key(value) in last:
            yield last.pop(key(value))
