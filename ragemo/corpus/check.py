"""Look a corpus file over: what it holds, and everything that is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from ragemo.corpus.read import read_with_problems
from ragemo.errors import DataError
from ragemo.labels import LabelSet
from ragemo.types import Utterance


@dataclass(frozen=True, slots=True)
class SystemReport:
    """The hypotheses of one ASR system (or of the written text).

    Attributes:
        texts: utterances that have one, empty ones included.
        empty: those of them that are blank.
        mean_words: words, as cut at blanks, per text that is not; 0 if all are.
    """

    texts: int
    empty: int
    mean_words: float


@dataclass(frozen=True, slots=True)
class CorpusReport:
    """What a corpus file holds, as far as it could be read.

    Attributes:
        path: the file.
        format: what it was read as; None if no format was recognised.
        label_set: the name of its label set; None where none was given and none can be inferred.
        sha256: of the file's bytes; None if they cannot be read.
        dialogues: how many.
        utterances: how many.
        to_predict: utterances that need a prediction; the others are context only.
        turns: fewest, median and most utterances per dialogue; None without any.
        speakers: how many different ones.
        sessions: how many different ones; 0 where the corpus has none.
        labels: emotion -> utterances, context only ones included: the label set's in its order,
            then others, most frequent first.
        systems: ASR system -> its texts.
        without_text: utterances whose hypotheses are all empty.
        repeated: utterances, not without text, whose hypotheses all stand word for word in one
            earlier utterance (case aside).
        problems: all of them, in order of line.
    """

    path: Path
    format: str | None
    label_set: str | None
    sha256: str | None
    dialogues: int
    utterances: int
    to_predict: int
    turns: tuple[int, float, int] | None
    speakers: int
    sessions: int
    labels: dict[str, int]
    systems: dict[str, SystemReport]
    without_text: int
    repeated: int
    problems: tuple[DataError, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        data = {name: getattr(self, name) for name in self.__slots__}
        data["path"] = str(self.path)
        data["turns"] = self.turns and dict(zip(("min", "median", "max"), self.turns, strict=True))
        data["systems"] = {name: asdict(system) for name, system in self.systems.items()}
        data["problems"] = [
            {
                "line": problem.line,
                "record": problem.record,
                "field": problem.field,
                "message": problem.message,
            }
            for problem in self.problems
        ]
        return data


def check_corpus(
    path: Path | str,
    *,
    format: str = "auto",
    labels: LabelSet | str | None = None,
) -> CorpusReport:
    """Report what a corpus file holds and what is wrong with it.

    A damaged file is reported as far as it can be read; records with a problem are left out of
    the counts, save those of which only the label is unknown.

    Args:
        path: the file.
        format: as of `read_corpus`.
        labels: as of `read_corpus`; but a file without emotions needs no label set here.

    Raises:
        SettingsError: if the format or the label set is unknown.
    """
    path = Path(path)
    reading = read_with_problems(path, format=format, labels=labels)
    utterances = [u for dialogue in reading.dialogues for u in dialogue.utterances]
    lengths = [len(dialogue.utterances) for dialogue in reading.dialogues]
    return CorpusReport(
        path=path,
        format=reading.format,
        label_set=reading.labels.name if reading.labels else None,
        sha256=reading.sha256,
        dialogues=len(reading.dialogues),
        utterances=len(utterances),
        to_predict=sum(utterance.needs_prediction for utterance in utterances),
        turns=(min(lengths), float(median(lengths)), max(lengths)) if lengths else None,
        speakers=len({utterance.speaker for utterance in utterances} - {""}),
        sessions=len({utterance.session for utterance in utterances} - {None}),
        labels=_count_labels(utterances, reading.labels),
        systems=_count_systems(utterances),
        without_text=sum(not _words(utterance) for utterance in utterances),
        repeated=_count_repeated(utterances),
        problems=reading.problems,
    )


def _count_labels(utterances: Sequence[Utterance], labels: LabelSet | None) -> dict[str, int]:
    counts = Counter(u.emotion for u in utterances if u.emotion is not None)
    declared = {name: counts.pop(name, 0) for name in labels.names} if labels else {}
    return {**declared, **dict(counts.most_common())}


def _count_systems(utterances: Sequence[Utterance]) -> dict[str, SystemReport]:
    lengths: dict[str, list[int]] = {}
    for utterance in utterances:
        for name, text in utterance.hypotheses.items():
            lengths.setdefault(name, []).append(len(text.split()))
    return {
        name: SystemReport(
            texts=len(words),
            empty=words.count(0),
            mean_words=mean(filter(None, words)) if any(words) else 0.0,
        )
        for name, words in lengths.items()
    }


def _count_repeated(utterances: Sequence[Utterance]) -> int:
    texts = [words for utterance in utterances if (words := _words(utterance))]
    return len(texts) - len(set(texts))


def _words(utterance: Utterance) -> frozenset[tuple[str, str]]:
    """The hypotheses that are not blank, with case and spacing folded."""
    folded = (
        (name, " ".join(text.casefold().split())) for name, text in utterance.hypotheses.items()
    )
    return frozenset((name, text) for name, text in folded if text)
