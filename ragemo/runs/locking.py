"""One writer at a time: a lock on an open file, which ends with the process that has it."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO, Any

from ragemo.errors import RunFolderError


def lock(file: IO[Any], folder: Path, what: str) -> None:
    """Lock a file, or close it.

    Args:
        file: open for writing: a network's file system locks nothing else.
        folder: that is written to while it is locked.
        what: the folder is: "run", say.

    Raises:
        RunFolderError: if another process has it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RunFolderError(
            f"{folder}: another process is writing to this {what}; wait for it, or choose "
            "another --out"
        ) from None
