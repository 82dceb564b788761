"""Read a corpus file whole and strictly: a valid corpus, or a message that says what is wrong."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from reprlib import repr as brief

from ragemo.corpus.formats import FORMATS, Source, gensec, listed
from ragemo.corpus.packed import unpacked
from ragemo.errors import DataError, SettingsError
from ragemo.files import sha256_bytes
from ragemo.labels import LabelSet, load_labels, normalise
from ragemo.types import Corpus, Dialogue, Utterance

SEGMENTATIONS = ("dialogue", "baseline")


@dataclass(frozen=True)
class Reading:
    """What could be read of a file, and all that is wrong with it.

    Attributes:
        format: the format it was read as, None if none was recognised.
        labels: its label set; None where none was given and none can be inferred.
        dialogues: in the file's order of first appearance.
        problems: in order of line; without any, the file is valid.
        sha256: of the file's bytes; None if they cannot be read.
    """

    format: str | None
    labels: LabelSet | None
    dialogues: tuple[Dialogue, ...]
    problems: tuple[DataError, ...]
    sha256: str | None


def read_corpus(
    path: Path | str,
    *,
    format: str = "auto",
    labels: LabelSet | str | None = None,
    segmentation: str = "dialogue",
) -> Corpus:
    """Read a corpus file.

    Args:
        path: the file, UTF-8 with or without a byte order mark; it may be compressed, or a table
            (see `ragemo.corpus.packed`).
        format: one of `ragemo.corpus.FORMATS`, or "auto": by content.
        labels: a label set, the name of a shipped one or the path of a YAML file; by default
            the format's own, or for plain files the emotions of the utterances to predict.
            Emotions are turned into the set's own spelling.
        segmentation: "dialogue"; or "baseline" to cut a GenSEC file as its official baseline
            does, by session.

    Returns:
        The corpus. Utterances of one dialogue stand together where the dialogue first appears,
        in order of turn. Blank emotions, sessions and references are None.

    Raises:
        DataError: the first problem by line, with the number of others; nothing is half read.
        SettingsError: if the format, segmentation or label set is unknown or cannot be used, or
            no label set is given and none can be inferred.
    """
    path = Path(path)
    reading = read_with_problems(path, format=format, labels=labels, segmentation=segmentation)
    if reading.problems:
        raise _first_of(reading.problems, path)
    if reading.labels is None or reading.format is None or reading.sha256 is None:
        raise SettingsError(
            f"{path}: no label set was given, and its utterances to predict do not carry at least "
            "two emotions to infer one from; give one with --labels or labels=, by name or as "
            "a YAML file"
        )
    return Corpus(reading.dialogues, reading.labels, reading.format, path, reading.sha256)


def read_with_problems(
    path: Path,
    *,
    format: str = "auto",
    labels: LabelSet | str | None = None,
    segmentation: str = "dialogue",
) -> Reading:
    """Read what can be read of a corpus file and collect what is wrong (see `read_corpus`).

    Raises:
        SettingsError: as `read_corpus` does, but not for a label set that cannot be inferred.
    """
    if format not in ("auto", *FORMATS):
        raise SettingsError(f"unknown format {format!r}; known are auto, {', '.join(FORMATS)}")
    if segmentation not in SEGMENTATIONS:
        raise SettingsError(
            f"unknown segmentation {segmentation!r}; known are {', '.join(SEGMENTATIONS)}"
        )
    label_set = load_labels(labels) if isinstance(labels, str) else labels
    sha256 = None
    try:
        data = bytes_of(path)
        sha256 = sha256_bytes(data)
        source = Source(path, text_of(unpacked(data, path), path))
        name = recognise(source) if format == "auto" else format
    except DataError as problem:
        recognised = None if format == "auto" else format
        return Reading(recognised, label_set, (), (problem,), sha256)
    if segmentation == "baseline" and name != "gensec":
        raise SettingsError(
            f"{path}: segmentation 'baseline' reproduces the GenSEC baseline and needs a gensec "
            f"file; this one is {name}"
        )
    return replace(interpret(source, name, label_set, segmentation), sha256=sha256)


def recognise(source: Source) -> str:
    """The name of a text's format.

    Raises:
        DataError: if it is of none, or so damaged that its beginning cannot be read.
    """
    for name, known in FORMATS.items():
        if known.recognises(source):
            return name
    first = source.first
    if isinstance(first, tuple):
        found = f"CSV with the columns {listed(first)}"
    elif isinstance(first, dict):
        found = f"JSON with the keys {listed(first)}"
    elif first is None and source.opening == "[":
        found = "an empty JSON list"
    else:
        found = f"JSON that begins with {brief(first)}"
    known_formats = "; ".join(f"{name}: {known.EXPECTS}" for name, known in FORMATS.items())
    raise source.error(f"no known format: found {found}. Known are {known_formats}")


def interpret(
    source: Source, name: str, labels: LabelSet | None, segmentation: str = "dialogue"
) -> Reading:
    """Read a text as a file of a format; `labels` None stands for the format's default."""
    known = FORMATS[name]
    found: list[tuple[int, Utterance]] = []
    try:
        for record, utterance in known.parse(source):
            if record.sound:
                found.append((record.line, utterance))
    except DataError as problem:
        source.problems.append(problem)
    if not found and not source.problems:
        source.problem("no utterances in it")

    if labels is None:
        labels = load_labels(known.LABELS) if known.LABELS else _infer_labels(found)
    utterances = settled(found, labels, source, known.EMOTION)
    if segmentation == "baseline":
        utterances = list(gensec.regroup_as_baseline(utterances))
    return Reading(
        format=name,
        labels=labels,
        dialogues=gathered(utterances),
        problems=tuple(sorted(source.problems, key=lambda problem: problem.line or 0)),
        sha256=None,
    )


def settled(
    found: Sequence[tuple[int, Utterance]],
    labels: LabelSet | None,
    source: Source,
    emotion_field: str,
    first_row: int = 0,
) -> list[Utterance]:
    """Utterances with emotions in the label set's spelling and their rows, each id and turn once.

    Args:
        found: line and utterance, in file order.
        labels: the label set; None: emotions stay as they are.
        source: told of what is wrong with them.
        emotion_field: names the emotion in messages.
        first_row: the row of the first one in its file.
    """
    utterances = []
    ids: dict[str, int] = {}
    turns: dict[tuple[str, int], int] = {}
    for row, (line, utterance) in enumerate(found, first_row):
        problem_at = partial(source.problem, line=line, record=utterance.id)
        emotion = _canonical(utterance, labels)
        if emotion is None and utterance.emotion is not None:
            choice = ", ".join(labels.names) if labels else "names with a letter or a digit"
            problem_at(
                f"unknown label {brief(utterance.emotion)}; known are {choice}",
                field=emotion_field,
            )
        turn = (utterance.dialogue_id, utterance.turn)
        if utterance.id in ids:
            problem_at(f"given again; line {ids[utterance.id]} has it already", field="id")
        elif turn in turns:
            problem_at(
                f"turn {turn[1]} of dialogue {brief(turn[0])} given again; "
                f"line {turns[turn]} has it already",
                field="turn",
            )
        else:
            ids[utterance.id] = turns[turn] = line
            utterances.append(replace(utterance, emotion=emotion, row=row))
    return utterances


def bytes_of(path: Path) -> bytes:
    """A file's bytes. Raises DataError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError("there is no such file", path=path) from None
    except IsADirectoryError:
        raise DataError("it is a folder; name a file in it", path=path) from None
    except (OSError, ValueError) as error:
        # ValueError: a path with a NUL character.
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"it cannot be read: {reason}", path=path) from None


def text_of(data: bytes, path: Path) -> str:
    """A file's bytes as text, UTF-8 with or without its mark. Raises DataError otherwise."""
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    try:
        text = data[len(mark) :].decode("utf-8")
    except UnicodeDecodeError as error:
        offset = error.start + len(mark)
        raise DataError(
            f"not UTF-8: byte 0x{data[offset]:02x} at offset {offset}; save the file as UTF-8",
            path=path,
            line=data.count(b"\n", 0, offset) + 1,
        ) from None
    if not text.strip():
        raise DataError("the file is empty", path=path)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError("a NUL character; is this a text file?", path=path, line=line)
    return text


def _infer_labels(found: Sequence[tuple[int, Utterance]]) -> LabelSet | None:
    spellings: dict[str, str] = {}
    for _, utterance in found:
        emotion = (utterance.emotion or "").strip()
        if utterance.needs_prediction and normalise(emotion):
            spellings.setdefault(normalise(emotion), emotion)
    return LabelSet.infer(spellings.values()) if len(spellings) >= 2 else None


def _canonical(utterance: Utterance, labels: LabelSet | None) -> str | None:
    """The emotion in the label set's spelling, or as it is where the set need not hold it."""
    if utterance.emotion is None:
        return None
    if not utterance.needs_prediction:
        return utterance.emotion.strip()
    if labels is None:
        return utterance.emotion.strip() if normalise(utterance.emotion) else None
    return labels.find(utterance.emotion)


def gathered(utterances: Sequence[Utterance]) -> tuple[Dialogue, ...]:
    """The dialogues of utterances, in order of first appearance, their turns rising."""
    dialogues: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        dialogues.setdefault(utterance.dialogue_id, []).append(utterance)
    return tuple(
        Dialogue(name, tuple(sorted(members, key=lambda utterance: utterance.turn)))
        for name, members in dialogues.items()
    )


def _first_of(problems: Sequence[DataError], path: Path) -> DataError:
    first, others = problems[0], len(problems) - 1
    if not others:
        return first
    more = f"{others} more problem{'s' if others > 1 else ''}"
    return DataError(
        f"{first.message} (and {more}; `ragemo data check {path}` lists them all)",
        path=first.path,
        line=first.line,
        field=first.field,
        record=first.record,
    )
