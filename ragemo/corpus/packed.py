"""Corpus files that are compressed, or tables in Parquet, as the text they stand for.

A name says what a file is: `.gz`, `.bz2`, `.xz` and `.zst` are compressed, `.parquet` is a table
with the keys of ragemo's own format as columns (see `ragemo.corpus.formats.plain`); hypotheses
are one column `hypothesis:SYSTEM` each, or a column `hypotheses` that holds them all.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from reprlib import repr as brief
from typing import Any, BinaryIO, cast

from ragemo.errors import DataError

PARQUET = ".parquet"
ZSTD = ".zst"
COMPRESSED = (".gz", ".bz2", ".xz", ZSTD)
PREFIX = "hypothesis:"
ROWS = 4_096
"""Rows of a table that are held at once."""

MOST_WHOLE = 1 << 30
"""Bytes of a file that is read whole, unpacked: a few packed ones can stand for more than any
memory holds."""

MOST_LINE = 1 << 26
"""Bytes of one of its lines where it is read as a stream."""

PIECE = 1 << 20
"""Bytes that are unpacked at once."""


def unpacked(data: bytes, path: Path) -> bytes:
    """The bytes that a file's bytes stand for; themselves for an ordinary file.

    Raises:
        DataError: if it is not what its name says or too large, or a library for it is missing.
    """
    if not is_packed(path):
        return data
    found = bytearray()
    with open_packed(path, io.BytesIO(data)) as lines:
        while piece := lines.read(PIECE):
            found += piece
            if len(found) > MOST_WHOLE:
                raise DataError(
                    f"it holds more than {MOST_WHOLE >> 20:,} MiB unpacked, too much to be read "
                    "whole; if that is meant, split it, or label it as a stream (JSON lines or "
                    "Parquet, `ragemo predict --stream`)",
                    path=path,
                )
    return bytes(found)


def some_lines(file: BinaryIO, path: Path) -> list[bytes]:
    """The next lines of a file, about `PIECE` bytes of them; none at its end.

    Raises:
        DataError: if one is longer than `MOST_LINE`.
    """
    found: list[bytes] = []
    size = 0
    while size < PIECE and (line := file.readline(MOST_LINE)):
        found.append(line)
        size += len(line)
        if len(line) == MOST_LINE:
            raise DataError(f"a line of more than {MOST_LINE >> 20} MiB", path=path)
    return found


def packed(text: str, path: Path) -> bytes:
    """The bytes of a file with this name that stands for a text; the same ones for the same text.

    Args:
        text: for a table in ragemo's own format, as JSON lines.
        path: says by its name what the file is.

    Raises:
        DataError: if a library for it is missing.
    """
    if is_table(path):
        return _table(text, path)
    file = io.BytesIO()
    with open_packing(path, file) as packing:
        packing.write(text.encode("utf-8"))
    return file.getvalue()


@contextmanager
def open_packing(path: Path, file: BinaryIO) -> Iterator[BinaryIO]:
    """What compresses all that is written to it into a file; the same bytes for the same data.

    Args:
        path: says by its name how; any other name than one of `COMPRESSED` leaves all as it is.
        file: the file, open; it stays so.

    Raises:
        DataError: if a library for it is missing.
    """
    kind = path.suffix.lower()
    if kind == ".gz":
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packing:
            yield cast("BinaryIO", packing)
    elif kind == ".bz2":
        with bz2.BZ2File(file, "wb") as packing:
            yield cast("BinaryIO", packing)
    elif kind == ".xz":
        with lzma.LZMAFile(file, "wb") as packing:
            yield cast("BinaryIO", packing)
    elif kind == ZSTD:
        arrow = _pyarrow("pyarrow", path)
        sink = arrow.PythonFile(_KeptOpen(file), mode="w")
        with arrow.CompressedOutputStream(sink, "zstd") as packing:
            yield packing
    else:
        yield file


class _KeptOpen(io.RawIOBase):
    """Passes on what is written to a file, but not that it is to be closed."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)


def _table(text: str, path: Path) -> bytes:
    arrow, parquet = _pyarrow("pyarrow", path), _pyarrow("pyarrow.parquet", path)
    rows = []
    for line in filter(None, text.split("\n")):  # a text may hold other ends of lines
        row = json.loads(line)
        systems = row.pop("hypotheses", {})
        rows.append(row | {f"{PREFIX}{name}": said for name, said in systems.items()})
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = arrow.table({name: [row.get(name) for row in rows] for name in names})
    file = io.BytesIO()
    parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


def unpacked_name(path: Path) -> Path:
    """The name of what a compressed file stands for."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path


def is_packed(path: Path) -> bool:
    """Whether a file's name says that it is compressed or a table."""
    return path.suffix.lower() in (*COMPRESSED, PARQUET)


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is a table in Parquet."""
    return path.suffix.lower() == PARQUET


@contextmanager
def open_packed(path: Path, file: BinaryIO) -> Iterator[BinaryIO]:
    """What a file holds, to be read from the beginning: itself, decompressed, or JSON lines.

    Args:
        path: says by its name what the file is.
        file: the file, open; it has to be seekable for a table.

    Raises:
        DataError: here or while it is read, if it is not what its name says, or a library for it
            is missing.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".gz":
            yield cast("BinaryIO", gzip.GzipFile(fileobj=file))
        elif kind == ".bz2":
            yield cast("BinaryIO", bz2.BZ2File(file))
        elif kind == ".xz":
            with lzma.LZMAFile(file) as lines:
                yield cast("BinaryIO", lines)
        elif kind == ZSTD:
            arrow = _pyarrow("pyarrow", path)
            source = arrow.PythonFile(file, mode="r")
            yield cast("BinaryIO", io.BufferedReader(arrow.CompressedInputStream(source, "zstd")))
        elif kind == PARQUET:
            yield cast("BinaryIO", io.BufferedReader(_Lines(table_rows(path, file))))
        else:
            yield file
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, error) from None
    except OSError as error:
        # gzip, bz2 and Arrow say so of damaged data, too; the system's own errors have a number.
        raise (error if error.errno else _damaged(path, error)) from None


UNREADABLE = (OSError, ValueError, LookupError, TypeError, MemoryError, NotImplementedError)
"""What comes of a table that is damaged; pyarrow's own errors are such, too."""


def table_rows(path: Path, file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file as objects of ragemo's own format, without what is null.

    Raises:
        DataError: if it cannot be read, a column or a hypothesis is there twice, or pyarrow is
            missing.
    """
    parquet = _pyarrow("pyarrow.parquet", path)
    try:
        columns = parquet.ParquetFile(file).schema
        texts = [one.path for one in columns if one.physical_type == "BYTE_ARRAY"]
        # A text that thousands of rows share is there once, and copied row by row.
        table = parquet.ParquetFile(file, read_dictionary=texts)
        names = table.schema_arrow.names
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            named = ", ".join(map(brief, twice))
            raise DataError(f"columns given more than once: {named}", path=path)
        for batch in table.iter_batches(batch_size=ROWS):
            for cells in zip(*map(_cells, batch.columns), strict=True):
                yield _values(dict(zip(names, cells, strict=True)), path)
    except UNREADABLE as error:
        raise _damaged(path, error) from None


def _cells(column: Any) -> Iterator[Any]:
    """A column's values one by one."""
    if column.type.num_fields:  # texts in it may be shared, so row by row
        return (cell.as_py() for cell in column)
    if not hasattr(column, "dictionary"):
        return iter(column.to_pylist())
    places = column.indices.unique()
    texts = dict(zip(places.to_pylist(), column.dictionary.take(places).to_pylist(), strict=True))
    return (texts[place] for place in column.indices.to_pylist())


def _values(row: dict[str, Any], path: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    hypotheses: list[tuple[str, Any]] = []
    for name, value in row.items():
        if name.startswith(PREFIX):
            hypotheses.append((name.removeprefix(PREFIX), value))
        elif name == "hypotheses" and value is not None:
            # Arrow has a map as a list of pairs, and a struct as an object.
            hypotheses += value.items() if isinstance(value, dict) else value
        elif value is not None:
            values[name] = value
    systems = dict(hypotheses)
    if len(systems) < len(hypotheses):
        counts = Counter(system for system, _ in hypotheses)
        twice = next(system for system, count in counts.items() if count > 1)
        raise DataError(
            f"{brief(twice)} given more than once in one row",
            path=path,
            field="hypotheses",
            record=None if row.get("id") is None else str(row["id"]),
        )
    return values | ({"hypotheses": systems} if systems else {})


class _Lines(io.RawIOBase):
    """Objects as a file of JSON lines."""

    def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
        super().__init__()
        self._rows = rows
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            row = next(self._rows, None)
            if row is None:
                return 0
            # What JSON does not have (a date, say) is refused later, by its field's name.
            text = json.dumps(row, ensure_ascii=False, default=lambda value: [str(value)])
            self._left = text.encode("utf-8", "surrogatepass") + b"\n"
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def _pyarrow(module: str, path: Path) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise DataError(
            f"{path.suffix} files need pyarrow: pip install 'ragemo[export]'", path=path
        ) from None


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"not a {path.suffix} file, or a damaged one ({reason})", path=path)
