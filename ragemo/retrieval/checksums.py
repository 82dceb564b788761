"""Large files are hashed once, not at every start of every process that maps them.

A hash is remembered for as long as the file system says that the file is the one it was taken of:
the same device, inode, size, and times of the last change of its bytes and of its entry. The last
one cannot be set by hand. A disk whose bits change by themselves is found by
`ragemo index verify`, which reads everything whatever is remembered.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from ragemo.files import canonical_json, sha256_bytes, sha256_file, write_text
from ragemo.models import cache_folder

LARGE = 64 * 2**20
"""Bytes from which a hash is remembered; below, hashing takes a fraction of a second."""

SETTLED = 2.0
"""Seconds for which a file has to be unchanged: file systems tell the time in coarse steps."""


def remembered_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, from memory if it is large and has not changed since.

    Raises:
        OSError: if it cannot be read.
    """
    before = path.stat()
    if before.st_size < LARGE:
        return sha256_file(path)
    state = [before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns]
    name = sha256_bytes(canonical_json([str(path.resolve()), *state]).encode())
    note = cache_folder() / "checksums" / name
    with suppress(OSError, ValueError):
        if len(known := note.read_text(encoding="ascii")) == 64:
            return known
    found = sha256_file(path)
    if time.time() - before.st_ctime > SETTLED and path.stat() == before:
        with suppress(OSError):  # a cache that cannot be written costs time alone
            write_text(note, found)
    return found
