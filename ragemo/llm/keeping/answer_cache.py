"""Answers that were given once are not asked for, nor paid for, again.

A SQLite file in write-ahead mode: several processes may use it at once, and an answer that was
stored survives whatever happens to the process. Its key is everything that determines an answer,
see `answer_key`, and nothing else, so that two settings, runs or ablations that lead to the same
question share its answer.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ragemo.corpus.checked import MOST, NO_RECORD, require, typed
from ragemo.errors import RunFolderError, SettingsError
from ragemo.files import canonical_json, expanded, parse_json, sha256_bytes, write_ahead
from ragemo.labels import LabelSet
from ragemo.llm.ballots import check_ballot, plain_ballot, read_ballot
from ragemo.llm.protocol import ModelOutline
from ragemo.models import cache_folder
from ragemo.types import Ballot, Prompt

APPLICATION = int.from_bytes(b"rgmo", "big")
"""Stands in the file's header and tells it from other programs' files."""

LAYOUT = 2
"""Version of the table, of the keys, and of how answers are read."""

TABLE = (
    "CREATE TABLE answers (key TEXT PRIMARY KEY, model TEXT NOT NULL, "
    "answered INTEGER NOT NULL, ballot TEXT NOT NULL) WITHOUT ROWID"
)
"""All that the file holds; SQLite keeps it in these words."""

IN_MEMORY = ":memory:"
"""What SQLite takes for a database of one connection alone."""

WAIT = 60.0
"""Seconds to wait for another process that is writing."""


def answers_file() -> Path:
    """The user's own cache: `$RAGEMO_ANSWERS`, else answers.sqlite beside the models."""
    if chosen := os.environ.get("RAGEMO_ANSWERS"):
        return expanded(chosen)
    return cache_folder() / "answers.sqlite"


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """What a cache holds of one model.

    Attributes:
        model: the voter's name.
        answers: how many.
        oldest, newest: when they were given, as seconds since 1970 by the clock of then.
        dollars: what they cost, as far as prices were known.
    """

    model: str
    answers: int
    oldest: int
    newest: int
    dollars: float


_encode = json.JSONEncoder(ensure_ascii=False).encode


class AnswerCache:
    """Answers by key, in one file.

    Raises:
        SettingsError: if the name is not one of a file.
        RunFolderError: if the file cannot be opened, read or written, or is none of these.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if str(self.path) == IN_MEMORY:
            raise SettingsError(
                f"the cache {IN_MEMORY} would keep nothing: to SQLite that is no file; give the "
                "name of a file, or keep no answers (--no-cache, cache=False)"
            )
        # Each has a connection of its own, so that who reads never waits for a write to be synced.
        self._writing, self._reading = threading.Lock(), threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open()
            self._reader = self._open()
        except (*UNREADABLE, OSError) as error:
            raise self._unusable(error) from None

    def read(self, keys: Collection[str], labels: LabelSet) -> dict[str, Ballot]:
        """The answers that are there.

        Args:
            keys: see `answer_key`.
            labels: what they are about.

        Raises:
            RunFolderError: if the file cannot be read, or holds what is no answer on these labels.
        """
        return self.answers(self.texts(keys), labels)

    def texts(self, keys: Collection[str]) -> dict[str, str]:
        """The answers that are there, as they stand in the file.

        Raises:
            RunFolderError: if the file cannot be read.
        """
        rows = self._rows(
            "SELECT key, ballot FROM answers WHERE key IN (SELECT value FROM json_each(?))",
            json.dumps(list(keys)),
        )
        return dict(rows)

    def answers(self, texts: Mapping[str, str], labels: LabelSet) -> dict[str, Ballot]:
        """What some texts of the file say.

        Raises:
            RunFolderError: if one is no answer on these labels.
        """
        try:
            return {key: _answer(text, labels) for key, text in texts.items()}
        except NO_ANSWER as error:
            raise self._unusable(error) from None

    def has(self, keys: Collection[str]) -> set[str]:
        """Which of the keys have an answer."""
        rows = self._rows(
            "SELECT key FROM answers WHERE key IN (SELECT value FROM json_each(?))",
            json.dumps(list(keys)),
        )
        return {key for (key,) in rows}

    def seconds_per_answer(self, model: str) -> float | None:
        """Mean latency of a voter's answers; None where there is none."""
        [(mean,)] = self._rows(
            "SELECT avg(json_extract(ballot, '$.usage.seconds')) FROM answers WHERE model = ?",
            model,
        )
        if mean is not None and not 0 <= mean < MOST:
            raise self._unusable(ValueError(f"answers that took {mean} s"))
        return None if mean is None else float(mean)

    def write(self, answers: Mapping[str, Ballot]) -> None:
        """Add answers; they are on disk when this returns. One that is there stays as it is."""
        now = int(time.time())
        rows = [
            (key, ballot.voter, now, _encode(plain_ballot(ballot)))
            for key, ballot in answers.items()
        ]
        try:
            with self._writing, _transaction(self._writer):
                self._writer.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", rows)
        except UNREADABLE as error:
            raise self._unusable(error) from None

    def kept(self) -> list[KeptAnswers]:
        """What there is, model by model."""
        rows = self._rows(
            "SELECT model, count(*), min(answered), max(answered), "
            "total(json_extract(ballot, '$.usage.cost')) FROM answers GROUP BY model ORDER BY model"
        )
        names = [field.name for field in fields(KeptAnswers)]
        try:
            found = [typed(KeptAnswers, dict(zip(names, row, strict=True))) for row in rows]
            for one in found:
                _when(one.oldest), _when(one.newest)
        except NO_ANSWER as error:
            raise self._unusable(error) from None
        return found

    def records(self) -> Iterator[dict[str, Any]]:
        """Each answer as plain data: `answered` (ISO 8601, UTC) and the fields of its ballot."""
        for answered, text in self._rows("SELECT answered, ballot FROM answers ORDER BY key"):
            try:
                record = parse_json(text.encode())
                read_ballot(record)
                record = {"answered": _when(answered).isoformat(), **record}
            except NO_ANSWER as error:
                raise self._unusable(error) from None
            yield record

    def prune(
        self,
        *,
        older_than: float | None = None,
        model: str | None = None,
        remove: bool = True,
    ) -> int:
        """Remove answers and give their room back.

        Args:
            older_than: those given more than so many seconds ago by the clock; None: of any age.
            model: those of the voter of this name; None: of any.
            remove: else they are only counted.

        Returns:
            How many there are, or were.
        """
        before = None if older_than is None else time.time() - older_than
        values = {"before": before, "model": model}
        try:
            with self._writing:
                [(count,)] = self._writer.execute(
                    "SELECT count(*) FROM answers "
                    "WHERE ifnull(answered < :before, 1) AND ifnull(model = :model, 1)",
                    values,
                )
                if remove and count:
                    with _transaction(self._writer):
                        self._writer.execute(
                            "DELETE FROM answers "
                            "WHERE ifnull(answered < :before, 1) AND ifnull(model = :model, 1)",
                            values,
                        )
                    self._writer.execute("VACUUM")
        except UNREADABLE as error:
            raise self._unusable(error) from None
        return int(count)

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
        self._writer.close()

    def _open(self) -> sqlite3.Connection:
        """A connection to the file, which is made if it is not there.

        Answers come in one thread and are written in another.
        """
        base = sqlite3.connect(
            self.path, timeout=WAIT, isolation_level=None, check_same_thread=False
        )
        try:
            # The file may be anybody's: https://sqlite.org/security.html.
            base.execute("PRAGMA trusted_schema=OFF")
            base.execute("PRAGMA cell_size_check=ON")
            with _transaction(base):  # two processes may be the first ones
                [(application,)] = base.execute("PRAGMA application_id")
                [(layout,)] = base.execute("PRAGMA user_version")
                held = [text for (text,) in base.execute("SELECT sql FROM sqlite_master")]
                if not held:
                    base.execute(TABLE)
                    base.execute(f"PRAGMA application_id = {APPLICATION}")
                    base.execute(f"PRAGMA user_version = {LAYOUT}")
                elif (application, layout) != (APPLICATION, LAYOUT):
                    raise self._foreign(layout if application == APPLICATION else None)
                elif held != [TABLE]:  # triggers would run, and views answer
                    raise self._foreign(None)
            write_ahead(base, WAIT)
            base.execute("PRAGMA synchronous=FULL")
        except BaseException:
            base.close()
            raise
        return base

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        try:
            with self._reading:
                return self._reader.execute(query, values).fetchall()
        except UNREADABLE as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> RunFolderError:
        return RunFolderError(
            f"{self.path}: the answers kept there cannot be used ({error}). If the disk is not "
            "full and the folder can be written, the file is damaged: move it away, and what it "
            "held is asked for again. `--cache FILE` keeps answers elsewhere, `--no-cache` nowhere "
            "(in Python: `cache`)"
        )

    def _foreign(self, layout: int | None) -> RunFolderError:
        if layout is None:
            return RunFolderError(
                f"{self.path}: not a cache of answers that this ragemo reads, and left as it is; "
                "name another file with --cache or RAGEMO_ANSWERS"
            )
        return RunFolderError(
            f"{self.path}: answers in layout {layout}, this ragemo reads {LAYOUT}; it is left as "
            "it is. Move it away, or name another file with --cache or RAGEMO_ANSWERS"
        )


UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What comes of a file that is damaged; the second where SQLite says why in the words it holds."""

NO_ANSWER = (*NO_RECORD, OSError)
"""What comes of a row that ragemo did not write; OSError of a time that is none."""


def _answer(text: str, labels: LabelSet) -> Ballot:
    ballot = check_ballot(read_ballot(parse_json(text.encode())), labels)
    require("error", ballot.error is None)
    return ballot


def _when(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@contextmanager
def _transaction(base: sqlite3.Connection) -> Iterator[None]:
    base.execute("BEGIN IMMEDIATE")
    try:
        yield
        base.execute("COMMIT")
    except BaseException:
        if base.in_transaction:
            base.execute("ROLLBACK")
        raise


def answer_key(model: ModelOutline, prompt: Prompt, labels: LabelSet, sample: int) -> str:
    """A hash of all that determines an answer.

    That is who is asked and how (the model's identity), what (the prompt's messages and form), and
    the number of the sample; a model that scores every label gives one answer to a prompt, whatever
    its number. What a label is called and what else counts as it decides how an answer is read. Of
    the turns that were shown, their ids count where an answer names one (a cause), and their texts
    where an answer is held against them (a quote).
    """
    turns = prompt.window.turns if prompt.window else ()
    held_against = {
        "cause": [turn.utterance_id for turn in turns],
        "evidence": [*(turn.text for turn in turns), *prompt.further],
    }
    return sha256_bytes(
        canonical_json(
            [
                model.identity,
                [[label.name, label.word, list(label.aliases)] for label in labels.labels],
                prompt.form,
                [[message.role, message.content] for message in prompt.messages],
                held_against.get(prompt.form, []),
                0 if model.exact else sample,
            ]
        ).encode()
    )
