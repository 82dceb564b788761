"""From the files, mappings and folders that a command names to corpora and indexes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ragemo.corpus import read_corpus
from ragemo.corpus.join import Part, join_corpora
from ragemo.corpus.mapping import LabelMapping, fitting_mapping, load_mapping
from ragemo.corpus.stream import CorpusStream, can_stream
from ragemo.errors import SettingsError
from ragemo.labels import LabelSet, load_labels
from ragemo.settings import CorpusSettings, Settings
from ragemo.types import Corpus

if TYPE_CHECKING:
    from ragemo.llm.keeping.answer_cache import AnswerCache
    from ragemo.retrieval.embedding.embedder import Embedder
    from ragemo.retrieval.index import Index

LARGE = 64 << 20
"""Bytes from which a corpus is read as a stream where it can be."""


def open_corpus(path: Path, settings: Settings, index: Index | None) -> Corpus:
    """A corpus to predict, with the index's labels unless others are asked for."""
    how = settings.corpus
    return _read(path, how, how.labels or (index.labels if index else None))


def open_index(
    folder: Path | None, say: Callable[[str], None]
) -> tuple[Index, Embedder] | tuple[None, None]:
    """An index and its embedder, if a folder is named."""
    from ragemo.retrieval.embedding.embedder import load_index_embedder
    from ragemo.retrieval.embedding.vector_cache import with_cache
    from ragemo.retrieval.index import Index

    if folder is None:
        return None, None
    index = Index.load(folder)
    return index, with_cache(load_index_embedder(index.embedder, say=say))


def open_answers(file: Path | None, *, make: bool = True) -> AnswerCache | None:
    """The answers that are kept in a file, by default the user's own.

    Args:
        file: as named; None: the user's own.
        make: whether the file is made if it is not there; else there are no answers.
    """
    from ragemo.llm.keeping.answer_cache import AnswerCache, answers_file

    file = file or answers_file()
    return AnswerCache(file) if make or file.is_file() else None


def open_stream(
    path: Path, settings: Settings, index: Index | None, asked: bool | None
) -> CorpusStream | None:
    """The corpus as a stream, if that is asked for, or it is large and can be labelled so.

    Args:
        path, settings, index: as for `open_corpus`.
        asked: whether a stream is asked for; None: where it makes no difference but to memory.

    Raises:
        SettingsError: if a stream is asked for and the file's name or the settings allow none.
    """
    if asked is False:
        return None
    reasons = []
    if not can_stream(path):
        reasons.append(f"{path.name} is not JSON lines or Parquet by its name")
    if settings.corpus.format not in ("auto", CorpusStream.format):
        reasons.append(f"its format is {settings.corpus.format}")
    if settings.llm.model != "none":
        reasons.append("a language model is asked (--llm none asks nobody)")
    if settings.voting.pool == "dawid-skene":
        reasons.append("voting.pool dawid-skene learns from all utterances together")
    if index is None:
        reasons.append("there is no index, whose voters decide")
    if asked and reasons:
        raise SettingsError(f"--stream: {'; '.join(reasons)}")
    if reasons or index is None or not (asked or is_large(path)):
        return None
    how = settings.corpus
    return CorpusStream(path, load_labels(how.labels) if how.labels else index.labels)


def is_large(path: Path) -> bool:
    """Whether a file is better not read whole."""
    return path.is_file() and path.stat().st_size >= LARGE


def read_sources(
    files: Sequence[str], maps: Sequence[str], how: CorpusSettings, say: Callable[[str], None]
) -> tuple[Corpus, tuple[Part, ...]]:
    """One corpus of one or several files, and what became of each of several.

    A single file without a name or a mapping is read as it is. Of several each is read with its
    own label set, and joined to `how.labels`, by default the first one's. Where exactly one
    shipped mapping leads there, it is taken.

    Args:
        files: each FILE or NAME=FILE; the name is by default that of the format, with a number
            where several would have it.
        maps: each NAME=MAPPING.
        how: how files are read.
        say: told which mapping was taken unasked.

    Raises:
        DataError: if a file cannot be used, or its labels are not all mapped.
        SettingsError: if a name, mapping or label set cannot be used.
    """
    given = [_split(file) for file in files]
    if len(given) == 1 and not given[0][0] and not maps:
        return _read(given[0][1], how, how.labels), ()

    names: list[str] = []
    corpora: list[tuple[str, Corpus]] = []
    taken = {name for name, _ in given if name}
    for name, path in given:
        corpus = _read(path, how, None)
        name = name or _unused(corpus.format, taken)
        taken.add(name)
        names.append(name)
        corpora.append((name, corpus))
    labels = load_labels(how.labels) if how.labels else corpora[0][1].labels

    mappings: dict[str, LabelMapping] = {}
    for text in maps:
        name, equals, mapping = text.partition("=")
        if not equals or name not in names:
            raise SettingsError(
                f"--map {text}: expected NAME=MAPPING with one of the names {', '.join(names)}"
            )
        if name in mappings:
            raise SettingsError(f"--map {text}: {name!r} has a mapping already; one is enough")
        mappings[name] = load_mapping(mapping)
    for name, corpus in corpora:
        fitting = fitting_mapping(corpus.labels.name, labels.name)
        if fitting and name not in mappings:
            mappings[name] = fitting
            say(f"{name}: labels mapped by {fitting.name} (--map {name}=MAPPING for another)")
    joined = join_corpora(corpora, labels, {name: m.labels for name, m in mappings.items()})
    return joined.corpus, joined.report


def _read(path: Path, how: CorpusSettings, labels: str | LabelSet | None) -> Corpus:
    return read_corpus(path, format=how.format, labels=labels, segmentation=how.segmentation)


def _split(file: str) -> tuple[str, Path]:
    """(name or "", path) of FILE or NAME=FILE; a file that is there is meant whatever its name."""
    name, equals, path = file.partition("=")
    return (name, Path(path)) if equals and not Path(file).exists() else ("", Path(file))


def _unused(name: str, taken: set[str]) -> str:
    """The name, or the name with the first number from 2 that makes it new."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}{number}", number + 1
    return free
