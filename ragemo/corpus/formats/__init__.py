"""Corpus formats: what one is, and the source text they all read.

A format is a module with the members of `Format`; to add one, write its file and add its line
to `FORMATS`. A format says what the records of a file mean; finding them, their lines and the
faults of JSON, CSV and single values is the work of `Source` and `Record`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from reprlib import repr as brief
from typing import Any, Protocol

from ragemo.corpus.formats import cped, emorynlp, gensec, meld, plain, topicalchat
from ragemo.errors import DataError
from ragemo.types import Utterance

MAX_CHARACTERS = 20_000
"""A longer utterance, id or name is a damaged file."""

RESERVED = "reference"
"""Transcript strategies mean the human transcript by it, so no hypothesis may be called so."""

_BLANKS = re.compile(r"[ \t\n\r]*")
_UNSOUND = re.compile(r"[\x00\ud800-\udfff]")
_FLAGS = {"yes": True, "true": True, "no": False, "false": False}


class Format(Protocol):
    """What a format's module holds."""

    @property
    def LABELS(self) -> str | None:
        """Its default label set; None: inferred from the file."""

    @property
    def EMOTION(self) -> str:
        """The field that holds the emotion."""

    @property
    def EXPECTS(self) -> str:
        """What its files look like, in a few words for an error message."""

    @property
    def ONE_TEXT(self) -> bool:
        """Whether it holds one text per utterance, not several hypotheses."""

    def recognises(self, source: Source) -> bool:
        """Whether the file looks like one of this format, however damaged further down."""

    def parse(self, source: Source) -> Iterator[tuple[Record, Utterance]]:
        """The utterances in file order, emotions as written.

        Faults go to `source.problems`; an utterance of a record that has some is not used.

        Raises:
            DataError: where the rest of the file cannot be read.
        """

    def write(self, utterances: Sequence[Utterance], path: Path) -> str:
        """The text of a file with these utterances (dialogue by dialogue, turns rising).

        What the format cannot hold is left out; `ragemo.corpus.convert` tells the user.
        """


FORMATS: Mapping[str, Format] = {
    "gensec": gensec,
    "cped": cped,
    "meld": meld,
    "emorynlp": emorynlp,
    "topicalchat": topicalchat,
    "plain": plain,
}
"""The formats by name, in the order in which a file is tried: cped has all that marks meld."""


def listed(names: Iterable[str]) -> str:
    """Names of columns or keys as error messages list them, the first twenty."""
    names = list(names)
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(brief(name) for name in names[:20]) + more


@dataclass
class Source:
    """The text of a corpus file, or lines of it, and the problems found in it so far.

    Attributes:
        first_line: the number of the text's first line in the file.
    """

    path: Path
    text: str
    problems: list[DataError] = field(default_factory=list)
    first_line: int = 1

    @cached_property
    def start(self) -> int:
        """Where the first character stands that is not blank."""
        return self._after_blanks(0)

    @property
    def opening(self) -> str:
        """The first character that is not blank: "[" and "{" make it JSON, else it is CSV."""
        return self.text[self.start : self.start + 1]

    @cached_property
    def first(self) -> Any:
        """What formats are told apart by: the header of CSV as a tuple, else a JSON value.

        Of a JSON list it is the first element (None if there is none), of JSON lines the first.

        Raises:
            DataError: if it cannot be read.
        """
        if self.opening == "[":
            return next((value for _, value, _ in self.members(self.start)), None)
        if self.opening == "{":
            return self._decode(self.text, self.start)[0]
        return tuple(next(self._rows())[1])

    def error(
        self,
        message: str,
        *,
        line: int | None = None,
        field: str | None = None,
        record: str | None = None,
    ) -> DataError:
        """A problem of this file, to be raised."""
        return DataError(message, path=self.path, line=line, field=field, record=record)

    def problem(
        self,
        message: str,
        *,
        line: int | None = None,
        field: str | None = None,
        record: str | None = None,
    ) -> None:
        """Keep a problem and read on."""
        self.problems.append(self.error(message, line=line, field=field, record=record))

    def line(self, position: int) -> int:
        """The 1-based line of a position in the text."""
        return bisect_right(self._newlines, position - 1) + 1

    def record(self, value: Any, line: int) -> Record | None:
        """A JSON object as a record; anything else is a problem."""
        if isinstance(value, dict):
            return Record(self, value, line)
        self.problem(f"expected an object for an utterance, found {brief(value)}", line=line)
        return None

    def json_list(self) -> Iterator[Record]:
        """The objects of a file that is one JSON list."""
        if self.opening != "[":
            raise self.error(f"expected a JSON list, found {self.opening!r} as first character")
        for _, value, position in self.members(self.start):
            if record := self.record(value, self.line(position)):
                yield record

    def json_object(self) -> Iterator[tuple[str, Any, int]]:
        """The members of a file that is one JSON object: key, value, position of the value."""
        if self.opening != "{":
            raise self.error(f"expected a JSON object, found {self.opening!r} as first character")
        return self.members(self.start)

    def json_lines(self) -> Iterator[Record]:
        """The objects of a file with one JSON object per line; blank lines are skipped."""
        for line, text in enumerate(self.text.split("\n"), self.first_line):
            if not text.strip():
                continue
            try:
                value, end = self._decode(text, self._blanks_end(text, 0), line)
                if text[end:].strip():
                    raise self._not_json("one object per line expected", line, end)
            except DataError as problem:
                # The next line may well be sound.
                self.problems.append(problem)
                continue
            if record := self.record(value, line):
                yield record

    def table(self, required: Iterable[str]) -> Iterator[Record]:
        """The rows of a CSV file with a header; empty rows are skipped."""
        rows = self._rows()
        line, header = next(rows)
        twice = [column for column, count in Counter(header).items() if count > 1]
        if twice:
            raise self.error(f"columns given more than once: {listed(twice)}", line=line)
        missing = [column for column in required if column not in header]
        if missing:
            raise self.error(
                f"columns missing: {listed(missing)}; found {listed(header)}", line=line
            )
        for line, row in rows:
            if len(row) == len(header):
                yield Record(self, dict(zip(header, row, strict=True)), line)
            else:
                self.problem(
                    f"{len(row)} cells in the row, {len(header)} columns in the header "
                    "(is a comma or a quote missing or too many?)",
                    line=line,
                )

    def members(self, start: int) -> Iterator[tuple[str, Any, int]]:
        """The members of the JSON list or object at `start`: key ("" in a list), value, position.

        Unlike `json.loads` it knows where each value stands, and yields those before a fault.

        Raises:
            DataError: at the first fault.
        """
        closing = {"[": "]", "{": "}"}[self.text[start]]
        position = self._after_blanks(start + 1)
        at_end = self.text[position : position + 1] == closing
        while not at_end:
            key = ""
            if closing == "}":
                key, position = self._decode(self.text, position)
                position = self._after_blanks(position)
                if not isinstance(key, str) or self.text[position : position + 1] != ":":
                    raise self._not_json("expected a key and ':'", *self._place(position))
                position = self._after_blanks(position + 1)
            value, end = self._decode(self.text, position)
            yield key, value, position
            position = self._after_blanks(end)
            at_end = self.text[position : position + 1] == closing
            if not at_end:
                if self.text[position : position + 1] != ",":
                    raise self._not_json(f"expected ',' or {closing!r}", *self._place(position))
                position = self._after_blanks(position + 1)
        end = self._after_blanks(position + 1)
        if start == self.start and end != len(self.text):
            raise self._not_json(f"more text after the last {closing!r}", *self._place(end))

    @cached_property
    def _newlines(self) -> list[int]:
        return [match.start() for match in re.finditer("\n", self.text)]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        rows = csv.reader(io.StringIO(self.text, newline=""), strict=True)
        while True:
            line = rows.line_num + 1
            try:
                row = next(rows, None)
            except csv.Error as error:
                message = f"not CSV, in the row that begins here: {error}"
                raise self.error(message, line=line) from None
            if row is None:
                return
            if row:
                yield line, row

    def _decode(self, text: str, position: int, line: int | None = None) -> tuple[Any, int]:
        """The JSON value at a position and where it ends; `line` if `text` is only that line."""
        try:
            return _DECODER.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise self._not_json(error.msg, line or error.lineno, error.colno - 1) from None
        except RecursionError:
            reason = "values nested too deeply"
        except ValueError as error:
            reason = str(error)
        place = (line, position) if line else self._place(position)
        raise self._not_json(reason, *place)

    def _not_json(self, reason: str, line: int, column: int) -> DataError:
        return self.error(f"not JSON at column {column + 1}: {reason}", line=line)

    def _place(self, position: int) -> tuple[int, int]:
        return self.line(position), position - self.text.rfind("\n", 0, position) - 1

    def _after_blanks(self, position: int) -> int:
        return self._blanks_end(self.text, position)

    @staticmethod
    def _blanks_end(text: str, position: int) -> int:
        match = _BLANKS.match(text, position)
        return match.end() if match else position


@dataclass
class Record:
    """One utterance as the file writes it.

    The accessors return a stand-in ("" or 0) where a value is wrong and keep the problem; a
    record that is not `sound` is not used.
    """

    source: Source
    values: Mapping[str, Any]
    line: int
    id: str | None = None
    sound: bool = True

    def problem(self, message: str, field: str | None = None) -> None:
        """Keep a problem of this record."""
        self.sound = False
        self.source.problem(message, line=self.line, field=field, record=self.id)

    def text(self, field: str) -> str:
        """A string that must be there; it may be empty."""
        if field in self.values:
            return self.checked(self.values[field], field)
        self.problem("it is missing", field)
        return ""

    def name(self, field: str) -> str:
        """A string that must be there and not be blank."""
        value = self.values.get(field)
        if isinstance(value, str) and not value.strip():
            self.problem("it is empty", field)
            return ""
        return self.text(field)

    def optional(self, field: str) -> str | None:
        """A string, or None where it is absent, null or blank."""
        value = self.values.get(field)
        if value is None:
            return None
        text = self.checked(value, field)
        return text if text.strip() else None

    def number(self, field: str) -> int:
        """A whole number of at most nine digits, not negative; CSV writes it as a string."""
        value = self.values.get(field)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip()):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
            return value
        self.problem(f"expected a whole number from 0 to 999999999, found {brief(value)}", field)
        return 0

    def flag(self, field: str) -> bool:
        """A yes or no."""
        value = self.values.get(field)
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in _FLAGS:
            return _FLAGS[value.strip().lower()]
        self.problem(f"expected yes or no, found {brief(value)}", field)
        return True

    def hypotheses(self, values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
        """Texts by the name of their recogniser; null is an empty one.

        `prefix` is what the file writes before the names, for messages.
        """
        texts = {}
        for name, value in values.items():
            if not name.strip() or name == RESERVED:
                self.problem(
                    f"a hypothesis must be named after its recogniser, and not {RESERVED!r}, "
                    f"which is the human transcript; found {brief(name)}",
                    f"{prefix}{name}",
                )
                continue
            self.checked(name, "name of a hypothesis")
            texts[name] = "" if value is None else self.checked(value, f"{prefix}{name}")
        return texts

    def checked(self, value: Any, field: str) -> str:
        """A value that must be a string, of readable length and of characters that are text."""
        if not isinstance(value, str):
            self.problem(f"expected a string, found {brief(value)}", field)
            return ""
        if len(value) > MAX_CHARACTERS:
            self.problem(
                f"{len(value):,} characters, where an utterance has at most {MAX_CHARACTERS:,}; "
                "are several run together?",
                field,
            )
        elif unsound := _UNSOUND.search(value):
            found = "a NUL character" if unsound[0] == "\0" else "half of a surrogate pair"
            self.problem(f"it holds {found}, which is no text", field)
        return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"key {brief(twice)} given more than once in one object")
    return values


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats)
