"""Read a large corpus block by block: memory depends on the block, not on the file.

A file of ragemo's own format (JSON lines or Parquet, compressed or not) whose dialogues each stand
in one piece can be read so. Faults are the same as when it is read whole, and are raised at the
first one.
"""

from __future__ import annotations

import codecs
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

from ragemo.corpus.formats import Record, Source, plain
from ragemo.corpus.packed import is_packed, is_table, open_packed, some_lines, table_rows
from ragemo.corpus.read import gathered, settled, text_of
from ragemo.errors import DataError
from ragemo.files import sha256_file
from ragemo.labels import LabelSet
from ragemo.types import Corpus, Utterance

SUFFIXES = frozenset({".jsonl", ".ndjson"})


class CorpusStream:
    """A corpus file that is read block by block, as often as wanted.

    Args:
        path: the file.
        labels: the label set of its emotions.

    Raises:
        DataError: if there is no such file.
    """

    format = "plain"

    def __init__(self, path: Path | str, labels: LabelSet) -> None:
        self.path = Path(path)
        self.labels = labels
        if not self.path.is_file():
            raise DataError("there is no such file", path=self.path)

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process, which may be at work in another folder, finds the file."""
        return self.__dict__ | {"path": self.path.absolute()}

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes, as they lie on disk."""
        return sha256_file(self.path)

    def blocks(self, size: int) -> Iterator[Corpus]:
        """The corpus in pieces of whole dialogues, as the parts of one file.

        Args:
            size: utterances; a block ends with the first dialogue that reaches it.

        Yields:
            Corpora that bear the whole file's path and hash; rows count through.

        Raises:
            DataError: at the first fault, see `ragemo.corpus.read_corpus`; and if a dialogue goes
                on after another one has begun.
        """
        with closing(_Seen(self.path)) as seen:
            row = 0
            for found in self._pieces(size):
                source = Source(self.path, "")
                utterances = settled(found, self.labels, source, plain.EMOTION, row)
                _raise_first(source)
                seen.add(found)
                row += len(utterances)
                yield Corpus(gathered(utterances), self.labels, self.format, self.path, self.sha256)
            if row == 0:
                raise DataError("no utterances in it", path=self.path)

    def _pieces(self, size: int) -> Iterator[list[tuple[int, Utterance]]]:
        """Line and utterance of whole dialogues, at least `size` of them but in the last piece."""
        found: list[tuple[int, Utterance]] = []
        for source, records in self._sources():
            for record in records:
                utterance = plain.read_record(record)
                _raise_first(source)
                dialogue = utterance.dialogue_id
                if len(found) >= size and found[-1][1].dialogue_id != dialogue:
                    yield found
                    found = []
                found.append((record.line, utterance))
            _raise_first(source)
        if found:
            yield found

    def _sources(self) -> Iterator[tuple[Source, Iterable[Record]]]:
        """Some lines or rows at a time, and their records."""
        try:
            with self.path.open("rb") as file:
                if is_table(self.path):
                    source = Source(self.path, "")
                    rows = enumerate(table_rows(self.path, file), 1)
                    yield source, (Record(source, values, row) for row, values in rows)
                    return
                with open_packed(self.path, file) as lines:
                    first = 1
                    while some := some_lines(lines, self.path):
                        source = self._source(b"".join(some), first)
                        yield source, source.json_lines()
                        first += len(some)
        except OSError as error:
            raise DataError(f"it cannot be read: {error.strerror}", path=self.path) from None

    def _source(self, data: bytes, first: int) -> Source:
        if not data.strip():
            return Source(self.path, "", first_line=first)
        try:
            text = text_of(data, self.path)
            if first > 1 and data.startswith(codecs.BOM_UTF8):  # only a file's first is no text
                text = "\ufeff" + text
            return Source(self.path, text, first_line=first)
        except DataError as problem:
            line = None if problem.line is None else problem.line + first - 1
            raise DataError(problem.message, path=self.path, line=line) from None


def can_stream(path: Path) -> bool:
    """Whether a file's name says that it may be read as a stream."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and is_packed(path) and not is_table(path):
        suffixes.pop()
    return is_table(path) or (bool(suffixes) and suffixes[-1] in SUFFIXES)


class _Seen:
    """Ids that came before, on disk: a file may hold more of them than fit into memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._base = sqlite3.connect("")  # a temporary file, gone with the connection
        self._base.execute("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, found: Sequence[tuple[int, Utterance]]) -> None:
        """Take a block's ids in.

        Raises:
            DataError: if one has been there before.
        """
        lines = {f"u{utterance.id}": line for line, utterance in found}
        if twice := self._first_known(lines):
            raise DataError(
                "given again; it stands further up already",
                path=self._path,
                line=lines[twice],
                field="id",
                record=twice[1:],
            )
        starts: dict[str, int] = {}
        before = ""
        for line, utterance in found:
            own = f"d{utterance.dialogue_id}"
            if own in starts and own != before:
                raise self._goes_on(own, line)
            starts.setdefault(own, line)
            before = own
        if twice := self._first_known(starts):
            raise self._goes_on(twice, starts[twice])

    def _goes_on(self, dialogue: str, line: int) -> DataError:
        return DataError(
            f"dialogue {dialogue[1:]!r} goes on here, after others; to be read as a stream a file "
            "has to hold each dialogue in one piece: sort it by dialogue, or read it whole "
            "(--no-stream)",
            path=self._path,
            line=line,
        )

    def close(self) -> None:
        """Forget them."""
        self._base.close()

    def _first_known(self, ids: dict[str, int]) -> str | None:
        """The first of the ids that was there before; without one they are kept."""
        before = self._base.total_changes
        self._base.executemany("INSERT OR IGNORE INTO seen VALUES (?)", [[one] for one in ids])
        if self._base.total_changes - before == len(ids):
            self._base.commit()
            return None
        self._base.rollback()
        rows = self._base.execute("SELECT id FROM seen")
        known = {one for (one,) in rows if one in ids}
        return next(one for one in ids if one in known)


def _raise_first(source: Source) -> None:
    if source.problems:
        raise source.problems[0]
