"""A run as the GenSEC Challenge, Task 3, wants it: `pred.csv`.

One row of label codes, comma separated, no header: sessions (`id[:6]`) in the order of their
first appearance, and inside each the utterances to predict in file order.
"""

from __future__ import annotations

from pathlib import Path

from ragemo.errors import RunFolderError, SettingsError
from ragemo.files import write_text
from ragemo.runs.run import Run

CODES = ("hap", "sad", "neu", "ang")


def write_submission(run: Run, out: Path, *, fill: str | None = None) -> tuple[int, int]:
    """Write the file.

    Args:
        run: a finished run over the challenge's labels.
        out: the file to write.
        fill: "neighbours" lets the index label the utterances that have no valid label.

    Returns:
        How many utterances were filled in, and how many labels the file holds.

    Raises:
        SettingsError: if `fill` is unknown, the run's labels are not the challenge's, or `out`
            cannot be written.
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
    labels = {verdict.utterance_id: verdict.label for verdict in run.verdicts()}
    missing = [utterance_id for utterance_id, label in labels.items() if label is None]
    if missing and fill is None:
        raise RunFolderError(
            f"{run.path}: {len(missing)} utterances have no valid label ({missing[0]}, ...); "
            "--fill neighbours lets the index label them"
        )
    for ballot in run.ballots() if missing else ():
        if ballot.voter == "neighbours" and labels.get(ballot.utterance_id, "") is None:
            shares = ballot.distribution or ()
            labels[ballot.utterance_id] = run.labels.names[shares.index(max(shares))]
    if None in labels.values():
        raise RunFolderError(f"{run.path}: no index voted in this run, so nothing can be filled in")
    order: dict[str, list[str]] = {}
    for utterance in sorted(run.utterances, key=lambda utterance: utterance.row):
        name = utterance.turn.utterance_id
        if utterance.predicted:
            order.setdefault(name[:6], []).append(str(labels[name]))
    row = [label for session in order.values() for label in session]
    try:
        write_text(out, ",".join(row) + "\n")
    except OSError as error:
        raise SettingsError(f"{out}: cannot be written: {error.strerror}") from None
    return len(missing), len(row)
