"""A run as the GenSEC Challenge, Task 3, wants it: `pred.csv`.

One row of label codes, comma separated, no header: sessions (`id[:6]`) in the order of their
first appearance, and inside each the utterances to predict in file order.
"""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from ragemo.errors import RunFolderError, SettingsError
from ragemo.files import check_replaceable, write_text
from ragemo.runs.run import Run

CODES = ("hap", "sad", "neu", "ang")


def write_submission(
    run: Run, out: Path, *, fill: str | None = None, overwrite: bool = False
) -> tuple[int, int]:
    """Write the file.

    Args:
        run: a finished run over the challenge's labels.
        out: the file to write.
        fill: "neighbours" lets the index label the utterances that have no valid label.
        overwrite: whether a file that is there may be replaced.

    Returns:
        How many utterances were filled in, and how many labels the file holds.

    Raises:
        SettingsError: if `fill` is unknown, the run's labels are not the challenge's, or `out`
            is there already or cannot be written.
        RunFolderError: if utterances lack a label and nothing fills them in, or the run is not
            finished or was limited.
    """
    if fill not in (None, "neighbours"):
        raise SettingsError(f"--fill {fill}: expected neighbours")
    if set(run.labels.names) != set(CODES):
        raise SettingsError(
            f"{run.path}: its labels are {', '.join(run.labels.names)}; the challenge's are "
            f"{', '.join(CODES)}"
        )
    if run.manifest["settings"]["limit"] is not None:
        raise RunFolderError(
            f"{run.path}: only the first {run.manifest['settings']['limit']} utterances were "
            "predicted; run it again without --limit"
        )
    check_replaceable(out, overwrite=overwrite, read=run.path.iterdir())
    lines = _Lines(run)
    if lines.missing and fill is None:
        raise RunFolderError(
            f"{run.path}: {len(lines.missing)} utterances have no valid label "
            f"({next(iter(lines.missing))}, ...); --fill neighbours lets the index label them"
        )
    if lines.missing:
        lines.fill()
    row = lines.in_order()
    try:
        write_text(out, ",".join(row) + "\n")
    except OSError as error:
        raise SettingsError(f"{out}: cannot be written: {error.strerror}") from None
    return len(lines.missing), len(row)


class _Lines:
    """A label for each verdict of a run, with its place in the file, in columns.

    Attributes:
        missing: id -> place in the columns, of utterances without a label.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._sessions: dict[str, int] = {}
        self._row, self._session, self._label = array("q"), array("q"), array("h")
        self.missing: dict[str, int] = {}
        for utterance, verdict in run.beside():
            name = verdict.utterance_id
            if verdict.label is None:
                self.missing[name] = len(self._label)
            self._row.append(utterance.row)
            self._session.append(self._sessions.setdefault(name[:6], len(self._sessions)))
            self._label.append(-1 if verdict.label is None else run.labels.index(verdict.label))

    def fill(self) -> None:
        """Let the index label what has no label.

        Raises:
            RunFolderError: if there was none.
        """
        for ballot in self._run.each_ballot():
            place = self.missing.get(ballot.utterance_id)
            if place is not None and ballot.voter == "neighbours" and ballot.distribution:
                shares = ballot.distribution
                self._label[place] = shares.index(max(shares))
        if min(self._label) < 0:
            raise RunFolderError(
                f"{self._run.path}: no index voted in this run, so nothing can be filled in"
            )

    def in_order(self) -> list[str]:
        """The labels in the challenge's order."""
        row, session, label = (np.array(c) for c in (self._row, self._session, self._label))
        in_file = np.argsort(row, kind="stable")
        sessions, first = np.unique(session[in_file], return_index=True)
        appeared = np.zeros(len(self._sessions), dtype=np.int64)
        appeared[sessions] = first
        order = in_file[np.argsort(appeared[session[in_file]], kind="stable")]
        names = self._run.labels.names
        return [names[place] for place in label[order].tolist()]
