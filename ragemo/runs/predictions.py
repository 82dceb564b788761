"""The table of a run's decisions, for scripts and spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from ragemo.files import as_cell
from ragemo.labels import LabelSet
from ragemo.types import Verdict


def predictions_csv(verdicts: Sequence[Verdict], labels: LabelSet) -> str:
    """Verdicts as a CSV table with a header.

    Columns: id, label, confidence, one probability per label, the label set, whether the verdict
    abstains; then one for each detail that any verdict has, in alphabetical order. Lists are
    joined by "|". Details come from models and transcripts, which are not to be trusted: see
    `ragemo.files.as_cell` for what is done to texts that a spreadsheet would run.

    Args:
        verdicts: in the order of the rows.
        labels: the label set.
    """
    keys = sorted({key for verdict in verdicts for key in verdict.details})
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["id", "label", "confidence", *labels.names, "label_set", "abstained", *keys])
    for verdict in verdicts:
        shares = verdict.distribution or ("",) * len(labels)
        writer.writerow(
            [
                verdict.utterance_id,
                verdict.label or "",
                f"{verdict.confidence:.6f}",
                *(share if share == "" else f"{share:.6f}" for share in shares),
                "|".join(verdict.label_set),
                "yes" if verdict.abstained else "",
                *(_cell(verdict.details.get(key, "")) for key in keys),
            ]
        )
    return table.getvalue()


def _cell(value: Any) -> str:
    """A detail as a text that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, int | float):
        return str(value)
    text = "|".join(map(str, value)) if isinstance(value, list) else str(value)
    return as_cell(text)
