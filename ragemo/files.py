"""Files that are written whole or not at all, and the hashes that prove it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces: equal data, equal text."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


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
        if path.exists():
            old.rmdir()
        else:
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _usual_mode(mode: int) -> int:
    """The user's usual mode; tempfile makes private files, and folders are shared."""
    mask = os.umask(0)
    os.umask(mask)
    return mode & ~mask


_FORMULA = re.compile(r"""(^|;[\s"]*)(?=[=+\-@＝＋－＠])""")
"""Where a spreadsheet would begin to read a formula."""


def as_cell(text: str) -> str:
    """An untrusted text as a table's cell: on one line, and no formula for any spreadsheet."""
    text = _FORMULA.sub(r"\1'", " ".join(text.split()))
    # An invisible character may be passed over.
    return text if text[:1].isprintable() else f"'{text}"
