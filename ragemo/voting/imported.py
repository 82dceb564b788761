"""The predictions of any other system, read as ballots.

A fine-tuned text model, an audio model or an API run made elsewhere joins the vote by a file
with one row per utterance: CSV with a header, or JSON objects (one per line, or in a list).

    id            or `utterance_id`: as the corpus writes it
    label         or `prediction`, `predicted`, `emotion`: any spelling of one of the labels
    LABEL         a probability, in a column per label, called by any of its spellings
    distribution  or `probabilities`: in JSON instead of such columns, an object
                  label -> probability
    system        or `voter`: whose prediction it is, where a file holds several systems'; else
                  all are of one system, called as the file is
    sample        a whole number that tells a system's several answers on an utterance apart

A row needs a label or probabilities; the label counts only where there are no probabilities.
`predictions.csv` of a ragemo run is such a file. Other columns and keys are passed over.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from ragemo.corpus.formats import Record, Source, listed
from ragemo.corpus.read import bytes_of, text_of
from ragemo.errors import DataError
from ragemo.files import sha256_bytes
from ragemo.labels import LabelSet
from ragemo.types import Ballot, Distribution
from ragemo.voting.details import DETAILS

ID = ("id", "utterance_id")
LABEL = ("label", "prediction", "predicted", "emotion")
DISTRIBUTION = ("distribution", "probabilities")
SYSTEM = ("system", "voter")
SAMPLE = ("sample",)

OWN = ("confidence", "label_set", "abstained", *DETAILS)
"""Further columns of a run's own predictions, which say nothing new."""

TOLERANCE = 1e-3
"""How far probabilities may be from a sum of 1 before their normalisation is worth a note."""


@dataclass(frozen=True)
class Imported:
    """A file of predictions, as ballots.

    Attributes:
        ballots: of every row that says something, whatever its utterance; ordered by voter,
            utterance and sample, so the order of the rows leaves no trace. An answer that is no
            label is an invalid ballot with that answer.
        voters: the systems' names, sorted.
        notes: what a person should know about the file, one sentence each.
        path: where it came from.
        sha256: hash of the file's bytes.
    """

    ballots: tuple[Ballot, ...]
    voters: tuple[str, ...]
    notes: tuple[str, ...]
    path: Path
    sha256: str


@dataclass(frozen=True)
class _Columns:
    """Which of a file's columns (or keys) hold what; None where none does."""

    id: str
    label: str | None
    distribution: str | None
    system: str | None
    sample: str | None
    shares: list[str]
    passed_over: list[str]


@dataclass(frozen=True)
class _Row:
    """A row that says something, and its probabilities as they were given."""

    line: int
    given: Mapping[str, float]
    ballot: Ballot


def read_ballots(
    path: Path | str,
    labels: LabelSet,
    *,
    name: str | None = None,
    reserved: Collection[str] = (),
) -> Imported:
    """Read a file of predictions (its columns are described at the top of this module).

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        labels: the label set of the vote.
        name: what the system is called if the file does not say; by default as the file is,
            without its ending.
        reserved: names of other voters, which no system of the file may have.

    Returns:
        The ballots. Probabilities are divided by their sum; a label that has none has 0.

    Raises:
        DataError: the first problem by line, with the number of others: a file or row that
            cannot be read, no id, probabilities that are not finite, below 0 or all 0, rows that
            contradict each other, a system of which no answer is a label, a reserved name.
    """
    path = Path(path)
    data = bytes_of(path)
    source = Source(path, text_of(data, path))
    records = _records(source)
    columns = _columns(source, records, labels)
    rows = []
    first: dict[tuple[str, str, int], _Row] = {}
    for record in records:
        row = _row(record, columns, labels, name or path.stem)
        if row is None:
            continue
        rows.append(row)
        ballot = row.ballot
        earlier = first.setdefault((ballot.voter, ballot.utterance_id, ballot.sample), row)
        if earlier.ballot != ballot:
            record.problem(
                f"{brief(ballot.voter)} says something else of it in line {earlier.line}; remove "
                "one of the two rows, or number a system's several answers in a column 'sample'"
            )
    if source.problems:
        raise _first_of(source.problems)
    if not rows:
        raise source.error("no row holds a label or probabilities")
    for row in rows:
        if row.ballot.voter in reserved:
            raise source.error(
                f"another voter is already called {brief(row.ballot.voter)} (taken: "
                f"{', '.join(sorted(reserved))}); give the system another name, in a column "
                "'system' or as the file's name",
                line=row.line,
            )
    ballots = tuple(first[key].ballot for key in sorted(first))
    notes = [
        *_notes_on_probabilities(rows, labels),
        *_notes_on_invalid(ballots, labels, path),
    ]
    if columns.passed_over:
        notes.append(f"Columns passed over: {listed(columns.passed_over)}.")
    if len(rows) < len(records):
        silent = len(records) - len(rows)
        notes.append(f"Rows without a label or probabilities, which cast no vote: {silent}.")
    if len(first) < len(rows):
        notes.append(f"Rows that repeat an earlier one, counted once: {len(rows) - len(first)}.")
    return Imported(
        ballots=ballots,
        voters=tuple(sorted({ballot.voter for ballot in ballots})),
        notes=tuple(notes),
        path=path,
        sha256=sha256_bytes(data),
    )


def _records(source: Source) -> list[Record]:
    """The rows; what cannot be read goes to `source.problems`."""
    records = []
    try:
        if source.opening == "{":
            found = source.json_lines()
        else:
            found = source.json_list() if source.opening == "[" else source.table(())
        for record in found:
            records.append(record)
    except DataError as problem:
        source.problems.append(problem)
    if not records:
        raise _first_of(source.problems or [source.error("there are no predictions in it")])
    return records


def _columns(source: Source, records: Sequence[Record], labels: LabelSet) -> _Columns:
    """What the columns mean.

    Raises:
        DataError: if ids or votes are missing, or two columns claim to be the same thing.
    """
    found = dict.fromkeys(column for record in records for column in record.values)

    def one_of(names: tuple[str, ...], meaning: str) -> str | None:
        present = [name for name in names if name in found]
        if len(present) > 1:
            raise source.error(f"{listed(present)} could each be {meaning}; keep the one that is")
        return present[0] if present else None

    identifier = one_of(ID, "the utterance's id")
    label = one_of(LABEL, "the system's label (and a gold label must not vote)")
    distribution = one_of(DISTRIBUTION, "the probabilities")
    system = one_of(SYSTEM, "the system's name")
    sample = one_of(SAMPLE, "the number of the answer")
    known = {identifier, label, distribution, system, sample}
    shares = [column for column in found if column not in known and labels.find(column)]
    passed_over = [column for column in found if column not in known.union(shares, OWN)]
    if identifier is None:
        only = next(iter(found), "")
        hint = "; are they separated by commas?" if ";" in only or "\t" in only else ""
        raise source.error(
            f"no column with the utterance's id: expected one of {listed(ID)}, "
            f"found {listed(found)}{hint}"
        )
    if distribution and shares:
        raise source.error(
            f"probabilities both in {distribution!r} and in {listed(shares)}; keep one of the two"
        )
    if not (label or distribution or shares):
        raise source.error(
            f"nothing to vote with: expected one of {listed(LABEL)}, or a probability for each "
            f"of {listed(labels.names)}, found {listed(found)}"
        )
    if len(shares) == 1:
        raise source.error(
            f"a probability for one label alone; expected one for each of {listed(labels.names)}, "
            "or only the system's label",
            field=shares[0],
        )
    if distribution:
        nested = [record.values.get(distribution) for record in records]
        keys = dict.fromkeys(key for value in nested if isinstance(value, dict) for key in value)
        passed_over += [f"{distribution}.{key}" for key in keys if labels.find(key) is None]
    return _Columns(identifier, label, distribution, system, sample, shares, passed_over)


def _row(record: Record, columns: _Columns, labels: LabelSet, name: str) -> _Row | None:
    """What a row says; None if it says nothing, or has a problem."""
    record.id = record.name(columns.id)
    voter = record.name(columns.system) if columns.system else name
    sample = record.number(columns.sample) if columns.sample else 0
    given = _probabilities(record, columns, labels)
    answer = "" if given or columns.label is None else record.optional(columns.label) or ""
    if not record.sound or not (given or answer):
        return None
    distribution: Distribution | None = None
    if given:
        distribution = _normalised([given.get(label, 0.0) for label in labels.names])
    elif label := labels.find(answer):
        distribution = labels.one_hot(label)
    return _Row(record.line, given, Ballot(record.id, voter, sample, distribution, answer=answer))


def _probabilities(record: Record, columns: _Columns, labels: LabelSet) -> dict[str, float]:
    """A row's probabilities by label, not normalised; empty if it has none."""
    cells = {column: record.values[column] for column in columns.shares if column in record.values}
    prefix = ""
    if columns.distribution and record.values.get(columns.distribution) is not None:
        cells, prefix = record.values[columns.distribution], f"{columns.distribution}."
        if not isinstance(cells, dict):
            record.problem(
                f"expected an object, label -> probability, found {brief(cells)}",
                columns.distribution,
            )
            return {}
    if all(
        value is None or (isinstance(value, str) and not value.strip()) for value in cells.values()
    ):
        return {}
    given: dict[str, float] = {}
    for column, value in cells.items():
        label = labels.find(column)
        if label in given:
            record.problem(f"a second probability for {label!r}", prefix + column)
        elif label is not None:
            given[label] = _probability(record, value, prefix + column)
    if not given:
        record.problem(
            f"none of {listed(cells)} is a label; expected {', '.join(labels.names)}",
            columns.distribution,
        )
    elif record.sound and not any(given.values()):
        record.problem("the probabilities of all labels are 0; expected one above 0")
    return given


def _probability(record: Record, value: Any, field: str) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number) and number >= 0:
            return number
    record.problem(f"expected a probability, a number from 0 to 1, found {brief(value)}", field)
    return 0.0


def _normalised(shares: Sequence[float]) -> Distribution:
    # By the largest first, since the sum of huge numbers would overflow.
    scaled = [share / max(shares) for share in shares]
    return tuple(share / math.fsum(scaled) for share in scaled)


def _notes_on_probabilities(rows: Sequence[_Row], labels: LabelSet) -> list[str]:
    notes = []
    given = {label for row in rows for label in row.given}
    if given and (never := [label for label in labels.names if label not in given]):
        notes.append(f"No row gives a probability for {listed(never)}: taken as 0.")
    sums = [(row.line, sum(row.given.values())) for row in rows if row.given]
    if off := [(line, total) for line, total in sums if abs(total - 1) > TOLERANCE]:
        line, total = off[0]
        notes.append(
            f"Rows whose probabilities do not sum to 1, now normalised: {len(off)} of "
            f"{len(sums)} (line {line}, for one, sums to {total:.6g})."
        )
    return notes


def _notes_on_invalid(ballots: Sequence[Ballot], labels: LabelSet, path: Path) -> list[str]:
    """A note for each system with answers that are no label.

    Raises:
        DataError: if a system has no others.
    """
    notes = []
    answers: dict[str, Counter[str]] = {}
    for ballot in ballots:
        if ballot.invalid:
            answers.setdefault(ballot.voter, Counter())[ballot.answer] += 1
    for voter, counts in answers.items():
        total, invalid = sum(ballot.voter == voter for ballot in ballots), counts.total()
        shown = ", ".join(f"{brief(answer)} ({n})" for answer, n in counts.most_common(5))
        expected = ", ".join(labels.names)
        if invalid == total:
            raise DataError(
                f"no answer of {brief(voter)} is a label ({total} in all): found {shown}; "
                f"expected {expected} (or another spelling that the label set knows)",
                path=path,
            )
        notes.append(
            f"Answers of {brief(voter)} that are no label and so invalid: {invalid} of {total}, "
            f"{shown}; expected {expected}."
        )
    return notes


def _first_of(problems: Sequence[DataError]) -> DataError:
    first, *others = sorted(problems, key=lambda problem: problem.line or 0)
    if not others:
        return first
    return DataError(
        f"{first.message} (and {len(others)} more problem{'s' if len(others) > 1 else ''})",
        path=first.path,
        line=first.line,
        field=first.field,
        record=first.record,
    )
