"""From the folders of several runs to their comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ragemo.errors import DataError, SettingsError
from ragemo.runs.run import Run
from ragemo.runs.scores import predictions_on, run_names, run_notes
from ragemo.scoring.comparison import Comparison, compare


def compare_runs(
    runs: Sequence[Run], *, samples: int = 10_000, seed: int = 0, common: bool = False
) -> Comparison:
    """Compare finished runs with the first one, on the utterances that have a gold label.

    Args:
        runs: opened by `Run.open`; the first is the baseline.
        samples: of the paired bootstrap and of the randomisation, both over dialogues.
        seed: of both.
        common: compare on the utterances that all have, rather than refuse if they differ.

    Raises:
        RunFolderError: if a run is not finished.
        DataError: if label sets, utterances or gold labels differ.
        SettingsError: if there are fewer than two runs, one comes twice, or `samples` is
            below 1.
    """
    if len(runs) < 2:
        raise SettingsError("a comparison needs at least two runs: the baseline and another")
    names = run_names(runs)
    for name, run in zip(names, runs, strict=True):
        if set(run.labels.names) != set(runs[0].labels.names):
            raise DataError(
                f"{name} has the labels {', '.join(run.labels.names)}, {names[0]} has "
                f"{', '.join(runs[0].labels.names)}; only runs with the same labels can be compared"
            )
    # The same labels may stand in another order; their distributions are not looked at here.
    labels = runs[0].labels
    systems = {
        name: predictions_on(run.beside(), labels) for name, run in zip(names, runs, strict=True)
    }
    result = compare(systems, samples=samples, seed=seed, common=common)
    noted: dict[str, list[str]] = {}
    for name, run in zip(names, runs, strict=True):
        for note in run_notes(run):
            noted.setdefault(note, []).append(name)
    notes = [f"{', '.join(whose)}: {note}" for note, whose in noted.items()]
    return replace(result, notes=(*result.notes, *notes))
