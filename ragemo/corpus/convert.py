"""Write a corpus in another format, and say in words what that format cannot hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ragemo.corpus.formats import FORMATS, Format, Source, listed
from ragemo.corpus.packed import is_table, packed, unpacked_name
from ragemo.corpus.read import interpret
from ragemo.errors import DataError, SettingsError
from ragemo.files import write_bytes
from ragemo.labels import LabelSet, load_labels
from ragemo.types import Corpus, Utterance

EXAMPLES = 3
"""A note shows so many examples of a change."""


def convert_corpus(
    corpus: Corpus,
    path: Path | str,
    format: str,
    *,
    transcript: Callable[[Utterance], str] | None = None,
) -> list[str]:
    """Write a corpus as a file of a format (plain: CSV if the path ends so, else JSON lines).

    Emotions are written in the target's label set: by its spelling of the label's name or word,
    else by the one label that the aliases mean. A label without counterpart is context only
    (`need_prediction` "no") in gensec. What a `Corpus` does not hold (times, ratings, seasons of
    other series) is not written.

    Before the file is written its text is read again; the notes are the differences found, so
    nothing is lost in silence.

    Args:
        corpus: what to write.
        path: the file; replaced whole if it is there. Its name says whether it is compressed, or a
            table (see `ragemo.corpus.packed`).
        format: one of `ragemo.corpus.FORMATS`.
        transcript: the one text to write per utterance, as its only hypothesis `text`; by
            default all hypotheses, or the only one where the target holds one text.

    Returns:
        What the file does not hold as the corpus does, one sentence each.

    Raises:
        SettingsError: if the format is unknown, or it holds one text per utterance, the corpus
            has several hypotheses and no transcript is chosen.
        DataError: if labels have no counterpart in the target, it cannot hold a value, or the
            file cannot be written.
    """
    if format not in FORMATS:
        raise SettingsError(f"unknown format {format!r}; known are {', '.join(FORMATS)}")
    target, path = FORMATS[format], Path(path)
    labels = load_labels(target.LABELS) if target.LABELS else corpus.labels
    utterances = _with_texts(corpus, target, format, transcript)
    if target.LABELS:
        utterances = _with_labels(utterances, corpus, labels, format)
    if is_table(path) and format != "plain":
        raise SettingsError(f"{path}: only the format plain can be written as a table; use .csv")
    source = Source(path, target.write(utterances, unpacked_name(path)))
    reading = interpret(source, format, labels)
    if reading.problems:
        # A value that the target's reader refuses, e.g. a reserved name.
        raise reading.problems[0]
    written = [u for dialogue in reading.dialogues for u in dialogue.utterances]
    try:
        write_bytes(path, packed(source.text, path))
    except OSError as error:
        raise DataError(f"it cannot be written: {error.strerror}", path=path) from None
    return list(_differences(corpus.utterances, written, format))


def _with_texts(
    corpus: Corpus,
    target: Format,
    format_name: str,
    transcript: Callable[[Utterance], str] | None,
) -> list[Utterance]:
    if transcript is None and target.ONE_TEXT:
        systems = _systems(corpus.utterances)
        if len(systems) > 1:
            raise SettingsError(
                f"{format_name} holds one text per utterance and {corpus.path} has "
                f"{len(systems)} hypotheses ({listed(systems)}); choose one with --transcript "
                "or transcript="
            )
        transcript = _only_hypothesis
    if transcript is None:
        return list(corpus.utterances)
    return [replace(u, hypotheses={"text": transcript(u)}) for u in corpus.utterances]


def _only_hypothesis(utterance: Utterance) -> str:
    return next(iter(utterance.hypotheses.values()), "")


def _with_labels(
    utterances: Sequence[Utterance], corpus: Corpus, labels: LabelSet, format_name: str
) -> list[Utterance]:
    counterparts = {
        emotion: _counterpart(emotion, corpus.labels, labels)
        for emotion in {utterance.emotion for utterance in utterances if utterance.emotion}
    }
    converted = []
    missing: dict[str, Utterance] = {}
    for utterance in utterances:
        emotion = counterparts.get(utterance.emotion or "")
        if utterance.emotion is None:
            converted.append(utterance)
        elif emotion is not None:
            converted.append(replace(utterance, emotion=emotion))
        elif format_name == "gensec":
            converted.append(replace(utterance, needs_prediction=False))
        else:
            missing.setdefault(utterance.emotion, utterance)
    if missing:
        raise DataError(
            f"no counterpart in {format_name} for {listed(missing)}; its labels are "
            f"{', '.join(labels.names)}. Rename or remove them first",
            path=corpus.path,
            record=next(iter(missing.values())).id,
        )
    return converted


def _counterpart(emotion: str, source: LabelSet, target: LabelSet) -> str | None:
    """The target's label for an emotion of the source, or None if there is none for certain."""
    if emotion not in source.names:
        return target.find(emotion)
    label = source.labels[source.index(emotion)]
    direct = target.find(label.name) or target.find(label.word)
    if direct:
        return direct
    meant = {target.find(alias) for alias in label.aliases} - {None}
    return meant.pop() if len(meant) == 1 else None


def _systems(utterances: Iterable[Utterance]) -> list[str]:
    return sorted({name for utterance in utterances for name in utterance.hypotheses})


def _differences(
    before: Sequence[Utterance], after: Sequence[Utterance], format_name: str
) -> Iterable[str]:
    """What reading the written file again does not give back, in words."""
    pairs = list(zip(before, after, strict=True))
    for what, field in (
        ("ids", "id"),
        ("dialogue ids", "dialogue_id"),
        ("turns", "turn"),
        ("speakers", "speaker"),
        ("sessions", "session"),
        ("references", "reference"),
        ("emotions", "emotion"),
        ("profiles", "profile"),
        ("scenes", "scene"),
        ("stages", "stage"),
        ("corpora", "corpus"),
    ):
        changes = [
            (old, new)
            for one, other in pairs
            if (old := getattr(one, field)) != (new := getattr(other, field))
        ]
        lost = sum(new in (None, "") for _, new in changes)
        if lost:
            yield f"{what} of {lost} utterances are lost: {format_name} does not hold them"
        renamed = Counter((old, new) for old, new in changes if new not in (None, ""))
        if renamed:
            examples = ", ".join(
                f"{old!r} is {new!r}" for (old, new), _ in renamed.most_common(EXAMPLES)
            )
            more = " ..." if len(renamed) > EXAMPLES else ""
            yield f"{what} of {renamed.total()} utterances are changed: {examples}{more}"

    freed = sum(other.needs_prediction and not one.needs_prediction for one, other in pairs)
    if freed:
        yield (
            f"{freed} utterances that are context only now need a prediction: {format_name} "
            "does not tell them apart"
        )
    bound = sum(one.needs_prediction and not other.needs_prediction for one, other in pairs)
    if bound:
        yield f"{bound} utterances are now context only: their label is none of {format_name}'s"

    systems, kept = _systems(before), _systems(after)
    if systems != kept:
        yield f"hypotheses are {listed(kept)} and were {listed(systems) or 'none'}"
    for name in sorted(set(systems) & set(kept)):
        changed = sum(
            one.hypotheses.get(name, "") != other.hypotheses.get(name, "") for one, other in pairs
        )
        if changed:
            yield f"texts of {name} are changed in {changed} utterances"
        added = sum(name in other.hypotheses and name not in one.hypotheses for one, other in pairs)
        if added:
            yield f"{added} utterances without a text of {name} now have an empty one"
