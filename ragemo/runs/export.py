"""A run's predictions for other people's tools: spreadsheets, pandas, Hugging Face's datasets.

One row an utterance, in the run's order. The columns, which are the same in every format:

    id, dialogue, turn, speaker, text   what was labelled, in the transcript that was used
    gold                                the gold label; nothing where none is known
    label                               the verdict; nothing where nobody had a usable vote
    confidence, agreement               in [0, 1]
    abstained                           whether the verdict is left to a person
    invalid, failed                     how many answers were no label, or never came
    probability_NAME                    one for each label of the set, in its order
    label_set                           the labels of the conformal set
    ...                                 one for each detail that any verdict has, by its name

An utterance without a label stays without one: nothing is filled in. Rows are read and written some
at a time, so that a run of any length can be exported; only `datasets` are made in memory.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import chain, islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ragemo.corpus.packed import COMPRESSED, open_packing, unpacked_name
from ragemo.errors import RunFolderError, SettingsError
from ragemo.files import (
    as_cell,
    canonical_json,
    check_replaceable,
    indented_json,
    whole_file,
    whole_folder,
)
from ragemo.labels import LabelSet
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run
from ragemo.types import Verdict

ESSENTIALS = (
    *("ragemo", "corpus", "transcript", "uses_reference_transcripts", "llm", "others", "template"),
    *("imported", "notes", "settings"),
)
"""What an exported file says of its run, as far as the format has a place for it."""


ROWS = 8_192
"""So many rows are held at once."""

Row = tuple[Any, ...]
"""A value for each column; None where there is nothing to say."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        kind: "text", "label", "integer", "number", "flag" (true or false) or "texts" (lists).
    """

    name: str
    kind: str


@dataclass(frozen=True)
class Table:
    """A run's predictions.

    Attributes:
        columns: see the module's docstring.
        labels: the label set of the columns of kind "label".
        about: what the run was, as plain data without folders of this machine.
        pieces: begins anew at each call: the rows, `ROWS` at most at a time.
    """

    columns: tuple[Column, ...]
    labels: LabelSet
    about: Mapping[str, Any]
    pieces: Callable[[], Iterator[Sequence[Row]]]


def export_predictions(
    run: Run,
    path: Path | str,
    format: str | None = None,
    *,
    overwrite: bool = False,
) -> int:
    """Write a run's predictions, whole or not at all.

    Args:
        run: a finished run.
        path: the file to write, or for `datasets` the folder. CSV and JSON lines are compressed
            if the name ends with one of .gz, .bz2, .xz and .zst.
        format: one of `FORMATS`; None: the one that the name ends with.
        overwrite: whether what is there may be replaced.

    Returns:
        How many utterances were written.

    Raises:
        SettingsError: if the format is unknown, a library is missing, or `path` is there
            already or cannot be written.
        RunFolderError: if the run is not finished or damaged.
    """
    path = Path(path)
    ending = unpacked_name(path).suffix.lower().removeprefix(".")
    if format is None and ending not in FORMATS:
        raise SettingsError(
            f"{path}: its name tells no format; let it end with .csv, .jsonl or .parquet, or say "
            f"which (--format): {', '.join(FORMATS)}"
        )
    kind = format or ending
    if kind not in FORMATS:
        raise SettingsError(f"format {kind!r}: expected one of {', '.join(FORMATS)}")
    if path.suffix.lower() in COMPRESSED and kind not in LINES:
        raise SettingsError(f"{path}: {kind} is compressed in itself; leave {path.suffix} out")
    if ending != kind and ending in FORMATS:
        raise SettingsError(f"{path}: its name says {ending}, the format is {kind}; change one")
    table = predictions_table(run)
    count = 0

    def counted() -> Iterator[Sequence[Row]]:
        nonlocal count
        for piece in table.pieces():
            count += len(piece)
            yield piece

    try:
        check_replaceable(
            path,
            overwrite=overwrite,
            read=[run.path, *run.path.iterdir()],
            folder_with="dataset_info.json" if kind == "datasets" else None,
        )
        FORMATS[kind](replace(table, pieces=counted), path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror or error}") from None
    return count


def predictions_table(run: Run) -> Table:
    """A finished run's predictions as columns (see the module's docstring).

    Raises:
        RunFolderError: here or while rows are read, if the run is not finished or damaged.
    """
    names = run.labels.names
    columns = (
        *(Column(name, "text") for name in ("id", "dialogue")),
        Column("turn", "integer"),
        *(Column(name, "text") for name in ("speaker", "text")),
        *(Column(name, "label") for name in ("gold", "label")),
        *(Column(name, "number") for name in ("confidence", "agreement")),
        Column("abstained", "flag"),
        *(Column(name, "integer") for name in ("invalid", "failed")),
        *(Column(f"probability_{name}", "number") for name in names),
        Column("label_set", "texts"),
    )
    details = _details(run, [column.name for column in columns])
    columns += details

    def row(utterance: RunUtterance, verdict: Verdict) -> Row:
        turn = utterance.turn
        return (
            *(verdict.utterance_id, turn.dialogue_id, turn.turn, turn.speaker, turn.text),
            *(utterance.gold, verdict.label, verdict.confidence, verdict.agreement),
            *(verdict.abstained, verdict.invalid, verdict.failed),
            *(verdict.distribution or [None] * len(names)),
            list(verdict.label_set),
            *(_detail(verdict.details.get(column.name), column.kind) for column in details),
        )

    def pieces() -> Iterator[Sequence[Row]]:
        rows = (row(utterance, verdict) for utterance, verdict in run.beside())
        while piece := list(islice(rows, ROWS)):
            yield piece

    return Table(columns, run.labels, _about(run), pieces)


def csv_lines(table: Table) -> Iterator[str]:
    """The table as CSV that a spreadsheet shows and does not run, some lines at a time.

    Numbers have six digits, flags are yes or no, lists are joined by "|"; texts are as
    `ragemo.files.as_cell` makes them.
    """
    header = [tuple(as_cell(column.name) for column in table.columns)]
    for piece in chain([header], table.pieces()):
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(piece if piece is header else [list(map(_cell, row)) for row in piece])
        yield file.getvalue()


def without_folders(data: Any) -> Any:
    """Plain data in which each absolute path is the name of its file: folders tell of a person."""
    if isinstance(data, Mapping):
        return {key: without_folders(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_folders(value) for value in data]
    if isinstance(data, str):
        if data.startswith("~") or PurePosixPath(data).is_absolute():
            return PurePosixPath(data).name
        if PureWindowsPath(data).is_absolute():
            return PureWindowsPath(data).name
    return data


def load_extra(library: str, extra: str) -> Any:
    """A library that only an extra of ragemo's brings.

    Raises:
        SettingsError: if it is not installed, with the command that installs it.
    """
    try:
        return import_module(library)
    except ImportError as error:
        missing = library.partition(".")[0]
        raise SettingsError(
            f"{missing} cannot be loaded ({error}); pip install 'ragemo[{extra}]' brings it"
        ) from None


# -- formats -------------------------------------------------------------------------------------


def _write_csv(table: Table, path: Path) -> None:
    # With a byte order mark, without which spreadsheets misread accents.
    _write_texts(chain(["\ufeff"], csv_lines(table)), path)


def _write_jsonl(table: Table, path: Path) -> None:
    names = [column.name for column in table.columns]
    records = (dict(zip(names, row, strict=True)) for piece in table.pieces() for row in piece)
    _write_texts((json.dumps(one, ensure_ascii=False) + "\n" for one in records), path)


def _write_texts(texts: Iterable[str], path: Path) -> None:
    with whole_file(path) as file, open_packing(path, file) as packing:
        for text in texts:
            packing.write(text.encode())


def _write_parquet(table: Table, path: Path) -> None:
    """Labels are dictionaries in the set's order, which pandas reads as categories."""
    arrow = load_extra("pyarrow", "export")
    parquet = load_extra("pyarrow.parquet", "export")
    types = {
        "text": arrow.string(),
        "label": arrow.dictionary(arrow.int32(), arrow.string()),
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "flag": arrow.bool_(),
        "texts": arrow.list_(arrow.string()),
    }
    position = {name: place for place, name in enumerate(table.labels.names)}

    def array(column: Column, values: Sequence[Any]) -> Any:
        if column.kind != "label":
            return arrow.array(values, types[column.kind])
        places = arrow.array([position.get(name) for name in values], arrow.int32())
        return arrow.DictionaryArray.from_arrays(places, list(position))

    schema = arrow.schema(
        [(column.name, types[column.kind]) for column in table.columns],
        metadata={"ragemo": canonical_json(table.about)},
    )
    with whole_file(path) as file, parquet.ParquetWriter(file, schema) as writer:
        for piece in table.pieces():
            columns = zip(table.columns, zip(*piece, strict=True), strict=True)
            writer.write_batch(arrow.record_batch([array(*one) for one in columns], schema=schema))


def _write_datasets(table: Table, path: Path) -> None:
    """A folder for `datasets.load_from_disk`; what the run was is its description, as JSON."""
    datasets = load_extra("datasets", "export")
    value = datasets.Value
    features = {
        "text": value("string"),
        "label": datasets.ClassLabel(names=list(table.labels.names)),
        "integer": value("int64"),
        "number": value("float64"),
        "flag": value("bool"),
        "texts": datasets.List(value("string")),
    }
    info = datasets.DatasetInfo(
        description=indented_json(table.about),
        features=datasets.Features({c.name: features[c.kind] for c in table.columns}),
    )
    values: dict[str, list[Any]] = {column.name: [] for column in table.columns}
    for piece in table.pieces():
        for own, new in zip(values.values(), zip(*piece, strict=True), strict=True):
            own += new
    dataset = datasets.Dataset.from_dict(values, features=info.features, info=info)
    quiet = datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with whole_folder(path) as folder:
            dataset.save_to_disk(folder)
    finally:
        if not quiet:
            datasets.enable_progress_bars()


FORMATS: Mapping[str, Callable[[Table, Path], None]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
    "datasets": _write_datasets,
}
"""What a table can be written as; each writes its file whole."""

LINES = ("csv", "jsonl")
"""Those that may be compressed as a whole."""


# -- details -------------------------------------------------------------------------------------


def _details(run: Run, others: Iterable[str]) -> tuple[Column, ...]:
    """What verdicts say beside the label, by name; kinds unknown here become texts.

    Args:
        run: a finished run.
        others: names of the other columns.

    Raises:
        RunFolderError: if a detail bears one of these names.
    """
    kinds: dict[str, set[str]] = {}
    for verdict in run.each_verdict():
        for name, value in verdict.details.items():
            own = kinds.setdefault(name, set())
            if value is not None:
                own.add(_kind(value))
    if taken := sorted(kinds.keys() & set(others)):
        raise RunFolderError(
            f"{run.path}: verdicts have a detail {taken[0]!r}, the name of a column of every "
            "export; the run is damaged"
        )
    return tuple(
        Column(name, own.pop() if len(own) == 1 else "number" if not own else "text")
        for name, own in sorted(kinds.items())
    )


def _kind(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return "texts" if isinstance(value, list | tuple) else "text"


def _detail(value: Any, kind: str) -> Any:
    """A detail as a column of that kind holds it."""
    if value is None:
        return None
    if kind == "number":
        return float(value)
    return [str(one) for one in value] if kind == "texts" else str(value)


def _about(run: Run) -> dict[str, Any]:
    about: dict[str, Any] = {"run": run.path.resolve().name}
    about |= {key: run.manifest[key] for key in ESSENTIALS if key in run.manifest}
    if index := run.manifest.get("index"):
        about["index"] = {key: index[key] for key in ("fingerprint", "corpus", "embedder")}
    return {str(key): value for key, value in without_folders(about).items()}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, int):
        return str(value)
    return as_cell("|".join(value) if isinstance(value, list) else value)
