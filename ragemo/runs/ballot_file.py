"""The file of a run that grows: an answer a line, on disk before the next call."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from ragemo.errors import RunFolderError
from ragemo.files import file_in
from ragemo.runs.locking import lock
from ragemo.runs.records import ballot_line
from ragemo.types import Ballot


class BallotFile:
    """`ballots.jsonl` of a run's folder, open for adding under a lock that keeps others out.

    Args:
        run: the run's folder.

    Raises:
        RunFolderError: if another process has it.
        OSError: if it cannot be written.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        path = run / "ballots.jsonl"
        if os.path.lexists(path):
            file_in(run, path.name)  # the folder may be anybody's: no link is written through
        # Unbuffered: nothing of an answer that could not be written is left to be written later.
        self._file = path.open("ab", buffering=0)
        lock(self._file, run, "run")

    def cut_torn_line(self) -> None:
        """Take away what a run that was killed left at the end.

        Raises:
            OSError: if it cannot be written.
        """
        path = self._run / "ballots.jsonl"
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)

    def append(self, ballots: Sequence[Ballot]) -> None:
        """Add ballots; they are on disk when this returns.

        Raises:
            RunFolderError: if they cannot be written (a full disk, say); earlier ones are safe.
        """
        data = "".join(ballot_line(ballot) for ballot in ballots).encode()
        end = self._file.seek(0, os.SEEK_END)
        try:
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(end)  # no half line for a later one to be glued to
            raise RunFolderError(
                f"{self._run}: an answer could not be written: {error}. Make room and go on with "
                "--resume; all earlier answers are kept"
            ) from None

    def replace(self, lines: Iterable[bytes]) -> None:
        """Let it hold these lines and no others; they are on disk at the end.

        Raises:
            RunFolderError: if they cannot be written.
        """
        try:
            self._file.truncate(0)
            buffered = io.BufferedWriter(self._file)
            buffered.writelines(lines)
            buffered.detach()  # what it holds is written first
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunFolderError(
                f"{self._run}: the ballots could not be written: {error}. Make room and go on with "
                "--resume"
            ) from None

    def close(self) -> None:
        """Give up the lock."""
        self._file.close()
