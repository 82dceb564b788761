"""From the folder of a run or an ablation to its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragemo.errors import DataError, SettingsError
from ragemo.files import write_text
from ragemo.report.ablation import ablation_report, is_ablation
from ragemo.report.conversations import (
    BLOCK,
    CONTEXT,
    DIGITS,
    NONE,
    blocks,
    columns,
    shown_utterances,
)
from ragemo.report.figures import (
    cost_data,
    manifest_data,
    panels_data,
    score_data,
    settings_data,
)
from ragemo.report.folders import short_names, with_short_names
from ragemo.report.page import render
from ragemo.report.reasons import reasons
from ragemo.runs.compare import compare_runs
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run
from ragemo.runs.scores import run_names, scored


def write_report(
    run: Run | Path | str,
    path: Path | str,
    other: Run | None = None,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Path:
    """Write a finished run, or an ablation, as one HTML file that opens without a network.

    Args:
        run: opened by `Run.open`, or the folder of a run or an ablation; without gold labels
            the page has no scores.
        path: the file to write, `NAME.html`; one that is there is replaced.
        other: an earlier run on the same utterances; the page then shows what the run changed.
        samples: of the bootstrap; an ablation has its own.
        seed: of the bootstrap; an ablation has its own.

    Returns:
        The file. The same runs, or the same folder, give the same bytes.

    Raises:
        RunFolderError: if a run is not finished, an ablation has no result, or either is damaged.
        DataError: if the runs share no predicted utterance, or have other labels or gold labels.
        SettingsError: if `path` is no name of an HTML file or cannot be written, or an ablation
            is to be compared with a run.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise SettingsError(f"{path}: expected a file whose name ends in .html")
    if not isinstance(run, Run) and is_ablation(Path(run)):
        if other is not None:
            raise SettingsError(
                f"{run} is an ablation, which cannot be compared with a run; leave out --compare, "
                f"or name one of its cells' runs, {run}/cells/..."
            )
        page = ablation_report(Path(run))
    else:
        opened = run if isinstance(run, Run) else Run.open(run)
        page = report(opened, other, samples=samples, seed=seed)
    try:
        write_text(path, page)
    except OSError as error:
        raise SettingsError(
            f"{path}: the report could not be written: {error}; choose another place"
        ) from None
    return path


def report(run: Run, other: Run | None = None, *, samples: int = 1000, seed: int = 0) -> str:
    """The page itself; arguments and errors are those of `write_report`."""
    verdicts, ballots = run.verdicts(), run.ballots()
    by_id = {verdict.utterance_id: verdict for verdict in verdicts}
    utterances = shown_utterances(run.utterances)
    why = reasons(run, verdicts, ballots)
    name = run.path.resolve().name
    data = {
        "name": name,
        "ragemo": run.manifest["ragemo"],
        "labels": [
            {"name": label.name, "word": label.word, "colour": label.colour} for label in run.labels
        ],
        "notes": list(run.manifest["notes"]),
        "reference": run.manifest["uses_reference_transcripts"],
        "score": score_data(run, verdicts, samples=samples, seed=seed),
        "cost": cost_data(ballots),
        "settings": settings_data(run),
        "manifest": manifest_data(run),
        "panels": panels_data(run),
        "left_out": len(run.utterances) - len(utterances),
        "block": BLOCK,
        "turns": columns(utterances, by_id, why, run.labels),
        "compare": other and comparison_data(run, other, utterances, samples=samples, seed=seed),
    }
    details = blocks(
        utterances,
        by_id,
        ballots,
        why,
        found=run.demonstrations(),
        asked=run.prompts(),
    )
    names = short_names([data["settings"], data["manifest"]])
    return render(with_short_names(data, names), with_short_names(details, names))


def comparison_data(
    run: Run,
    other: Run,
    utterances: Sequence[RunUtterance],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """What the run says beside an earlier one: its verdicts turn by turn, and the differences.

    `label` and `confidence` are the earlier run's, a place for each of `utterances`. `figures` is
    the comparison as `ragemo.runs.compare` has it, or None without gold labels.
    """
    names = run_names([other, run])
    if set(run.labels.names) != set(other.labels.names):
        raise DataError(
            f"{names[0]} has the labels {', '.join(other.labels.names)}, {names[1]} has "
            f"{', '.join(run.labels.names)}; only runs with the same labels can be compared"
        )
    theirs = {verdict.utterance_id: verdict for verdict in other.verdicts()}
    found = [theirs.get(utterance.turn.utterance_id) for utterance in utterances]
    if not any(found):
        raise DataError(
            f"{names[0]} and {names[1]} share no predicted utterance; a comparison needs runs on "
            "the same corpus file"
        )
    ours = run.verdicts()
    figures = None
    if set(scored(run, ours).ids) & set(scored(other, theirs.values()).ids):
        figures = compare_runs([other, run], samples=samples, seed=seed, common=True).to_dict()
    return {
        "name": names[0],
        "label": [
            CONTEXT
            if verdict is None
            else NONE
            if verdict.label is None
            else run.labels.index(verdict.label)
            for verdict in found
        ],
        "confidence": [verdict and round(verdict.confidence, DIGITS) for verdict in found],
        "figures": figures,
    }
