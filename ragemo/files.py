"""Files that are written whole or not at all, and the hashes that prove it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ragemo.errors import SettingsError

if TYPE_CHECKING:
    import sqlite3


def sha256_bytes(*parts: bytes | memoryview) -> str:
    """Hex SHA-256 of bytes, or of several one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expanded(name: str | Path) -> Path:
    """A path that a user names, with the home folder in the place of `~` or `~user`.

    Raises:
        SettingsError: if there is no such home folder.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise SettingsError(
            f"{str(name)!r} begins with a home folder that is not known; write the path in full"
        ) from None


def check_replaceable(
    path: Path, *, overwrite: bool, read: Iterable[Path] = (), folder_with: str | None = None
) -> None:
    """Refuse to write a file, or a folder, where one is that nobody asked to replace.

    Args:
        path: the file to write, or the folder.
        overwrite: whether what is there may be replaced.
        read: files that are read while it is written; they would be lost.
        folder_with: a folder is written, and this file in it; one without it is another's.

    Raises:
        SettingsError: if one is there and may not be replaced, or anything else is.
    """
    if not os.path.exists(path):  # noqa: PTH110 - Path's does not take any name
        return
    for source in read:
        if source.exists() and path.samefile(source):
            raise SettingsError(
                f"{path} is {source} itself, which would be lost; choose another file"
            )
    if folder_with is None and not path.is_file():
        raise SettingsError(f"{path} is no file and is not replaced; give the name of a file")
    if folder_with is not None and not (path / folder_with).is_file():
        raise SettingsError(
            f"{path} is not replaced, since {folder_with} is not in it; choose another name"
        )
    if not overwrite:
        raise SettingsError(f"{path} is there already; --overwrite (overwrite=True) replaces it")


MOST_NODES = 100_000
"""Values that a YAML file may hold with its aliases written out; a few lines can stand for more
than any memory holds."""

_DOUBTFUL = (re.compile(rb"\\u[dD][89a-fA-F]"), re.compile(rb"[eE]\+?[0-9]{3}"))
"""Half of a surrogate pair, and a number that may be too large. As one they take twice as long."""


MOST_NESTED = 100
"""Lists and objects in each other that a file of ours may hold."""


def file_in(folder: Path, name: str) -> Path:
    """A file of a folder that may come from somebody else, if it is safe to open.

    Raises:
        OSError: if there is none, or the name leads out of the folder (by `..`, as an absolute
            path, or over a link), or to a device or a pipe, which may never end.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise OSError(f"{path} leads out of its folder; put the file itself there")
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is no ordinary file")
    return path


def parse_json(text: bytes) -> Any:
    """UTF-8 JSON as plain data.

    Raises:
        ValueError: if it is none, is nested too deeply, or holds what no JSON can be written of:
            a number that is not finite, or half of a surrogate pair.
    """
    try:
        data = _DECODER.decode(text.decode("utf-8"))
        if any(doubt.search(text) for doubt in _DOUBTFUL):
            json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8")
        if text.count(b"[") + text.count(b"{") > MOST_NESTED:
            _refuse_depth(data)
    except RecursionError:
        raise ValueError("values nested too deeply") from None
    return data


def _refuse_depth(data: Any) -> None:
    """Raise ValueError for more than `MOST_NESTED` lists and objects in each other."""
    level = [data] if isinstance(data, dict | list) else []
    for _ in range(MOST_NESTED):
        inside = [one.values() if isinstance(one, dict) else one for one in level]
        level = [one for values in inside for one in values if isinstance(one, dict | list)]
        if not level:
            return
    raise ValueError("values nested too deeply")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def parse_yaml(text: str) -> Any:
    """YAML as plain data.

    Raises:
        ValueError: in words, if it is none, or stands for more than `MOST_NODES` values.
    """
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_doubled(node)
        if _nodes(node, {}) > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES:,} values, with its aliases written out")
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError("not valid YAML: values nested too deeply") from None
    except (AttributeError, LookupError, OverflowError, TypeError) as error:
        # Of a date, a number or a truth value that is none.
        raise ValueError(f"not valid YAML: {error}") from None


def _refuse_doubled(root: Any) -> None:
    """Raise ValueError for a key that a mapping has twice, of which YAML would drop the first."""
    known, open_nodes = {id(root)}, [root]
    while open_nodes:
        node = open_nodes.pop()
        parts = node.value if isinstance(node.value, list) else []
        keys: set[tuple[str, str]] = set()
        for pair in parts:
            if isinstance(pair, tuple) and isinstance(pair[0].value, str):
                key = (pair[0].tag, pair[0].value)
                if key in keys and key[1] != "<<":
                    line = pair[0].start_mark.line + 1
                    raise ValueError(f"line {line}: the key {key[1]!r} is there twice")
                keys.add(key)
            for part in pair if isinstance(pair, tuple) else (pair,):
                if id(part) not in known:
                    known.add(id(part))
                    open_nodes.append(part)


def _nodes(node: Any, known: dict[int, float]) -> float:
    """How many values a YAML node stands for; infinitely many if it holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        parts = node.value if isinstance(node.value, list) else ()
        flat = (part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,)))
        known[id(node)] = 1 + sum(_nodes(part, known) for part in flat)
    return known[id(node)]


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces: equal data, equal text."""
    return _CANONICAL(data)


def differences(old: Any, new: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name and both values of whatever differs between two pieces of plain data."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), f"{place}.{key}".lstrip("."))
    elif json.dumps(old) != json.dumps(new):
        yield place, old, new


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole, see `whole_file`."""
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Fill a temporary sibling file that is synced and becomes `path` when the block ends well.

    Raises:
        OSError: if it cannot be written; whatever was at `path` stays then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(_usual_mode(0o666))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file whole."""
    write_bytes(path, text.encode("utf-8"))


def indented_json(data: Any) -> str:
    """JSON for people, as `write_json` writes it."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON whole."""
    write_text(path, indented_json(data))


@contextmanager
def whole_folder(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Fill a temporary sibling folder that becomes `path` when the block ends well.

    A folder already at `path` is replaced, or only if it is empty where `replace` is False; if
    the block raises, it stays as it was.

    Raises:
        OSError: if the folder cannot be written, `path` is a file, or a folder that is not
            empty may not be replaced.
    """
    path = path.resolve()  # so that a link to a folder elsewhere stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(_usual_mode(0o777))
        if path.exists() and replace:
            _replace_folder(path, temporary)
        else:
            temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _replace_folder(path: Path, new: Path) -> None:
    """Put `new` in the place of `path`; if that fails, `path` is put back."""
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    try:
        path.replace(old)  # a folder may take the place of an empty one
        new.replace(path)
    except BaseException:
        if path.exists():  # it was not moved, or another process has put its own there
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _usual_mode(mode: int) -> int:
    """The user's usual mode; tempfile makes private files, and folders are shared."""
    mask = os.umask(0)
    os.umask(mask)
    return mode & ~mask


_SIGNS = frozenset("=+-@＝＋－＠")
_FORMULA = re.compile(r"""(^|;[\s"]*)(?=[=+\-@＝＋－＠])""")
"""Where a spreadsheet would begin to read a formula."""


@lru_cache(maxsize=65_536)  # tables repeat names, and a sweep's tables the transcripts, too
def as_cell(text: str) -> str:
    """An untrusted text as a table's cell: on one line, and no formula for any spreadsheet."""
    text = " ".join(text.split())
    if not _SIGNS.isdisjoint(text):
        text = _FORMULA.sub(r"\1'", text)
    # An invisible character may be passed over.
    return text if text[:1].isprintable() else f"'{text}"


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Wait for other processes that are in such a block with the same path, before it begins.

    What tells them stays: an empty file beside `path`.

    Raises:
        OSError: if that cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_ahead(base: sqlite3.Connection, seconds: float) -> None:
    """Put a database into write-ahead mode, though other processes do so at the same time.

    SQLite, which otherwise waits for the others, would tell some of them that it is locked.

    Args:
        base: a connection, not within a transaction.
        seconds: to try, at most.

    Raises:
        sqlite3.Error: if it is locked for longer, or cannot be read or written.
    """
    import sqlite3

    try:
        base.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise
        import tenacity

        trying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_busy),
            wait=tenacity.wait_random(0, 0.1),
            stop=tenacity.stop_after_delay(seconds),
            reraise=True,
        )
        trying(base.execute, "PRAGMA journal_mode=WAL")


def _is_busy(error: BaseException) -> bool:
    return "SQLITE_BUSY" in getattr(error, "sqlite_errorname", "")
