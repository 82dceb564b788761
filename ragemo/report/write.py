"""From the folder of a run or an ablation to its page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ragemo.errors import DataError, SettingsError
from ragemo.files import write_text
from ragemo.progress import Progress, Silent
from ragemo.report import SHOWN
from ragemo.report.ablation import ablation_report, is_ablation
from ragemo.report.conversations import (
    BLOCK,
    CONTEXT,
    DIGITS,
    NONE,
    blocks,
    columns,
)
from ragemo.report.figures import (
    cost_data,
    manifest_data,
    panels_data,
    score_data,
    settings_data,
)
from ragemo.report.folders import short_names, with_short_names
from ragemo.report.page import LIMITED, RUN, render
from ragemo.report.reasons import reasons
from ragemo.report.shown import shown_of
from ragemo.runs.compare import compare_runs
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run
from ragemo.runs.scores import run_names, scored
from ragemo.scoring.predictions import Predictions
from ragemo.types import Ballot


def write_report(
    run: Run | Path | str,
    path: Path | str,
    other: Run | None = None,
    *,
    samples: int = 1000,
    seed: int = 0,
    show: int = SHOWN,
    dialogues: Sequence[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Write a finished run, or an ablation, as one HTML file that opens without a network.

    Args:
        run: opened by `Run.open`, or the folder of a run or an ablation; without gold labels
            the page has no scores.
        path: the file to write, `NAME.html`; one that is there is replaced.
        other: an earlier run on the same utterances; the page then shows what the run changed.
        samples: of the bootstrap; an ablation has its own.
        seed: of the bootstrap; an ablation has its own.
        show: dialogues are shown until there are so many utterances; figures are of all.
        dialogues: ids of the dialogues to show instead, however many.
        progress: told if not everything is shown.

    Returns:
        The file. The same runs, or the same folder, give the same bytes.

    Raises:
        RunFolderError: if a run is not finished, an ablation has no result, or either is damaged.
        DataError: if the runs share no predicted utterance, or have other labels or gold labels.
        SettingsError: if `path` is no name of an HTML file or cannot be written, a dialogue is not
            there, or an ablation is to be compared with a run or has dialogues to show.
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
        if dialogues:
            raise SettingsError(
                f"{run} is an ablation, whose page shows no dialogues; leave out --dialogue, or "
                f"name one of its cells' runs, {run}/cells/..."
            )
        page = ablation_report(Path(run))
    else:
        opened = run if isinstance(run, Run) else Run.open(run)
        page = report(
            opened,
            other,
            samples=samples,
            seed=seed,
            show=show,
            dialogues=dialogues,
            progress=progress,
        )
    try:
        write_text(path, page)
    except OSError as error:
        raise SettingsError(
            f"{path}: the report could not be written: {error}; choose another place"
        ) from None
    return path


def report(
    run: Run,
    other: Run | None = None,
    *,
    samples: int = 1000,
    seed: int = 0,
    show: int = SHOWN,
    dialogues: Sequence[str] = (),
    progress: Progress | None = None,
) -> str:
    """The page itself; arguments and errors are those of `write_report`."""
    own = scored(run)
    shown = shown_of(run, show, dialogues)
    if shown.limit:
        (progress or Silent()).say(shown.limit)
    utterances = shown.utterances
    ids = {utterance.turn.utterance_id for utterance in utterances}
    verdicts = [verdict for verdict in run.each_verdict() if verdict.utterance_id in ids]
    by_id = {verdict.utterance_id: verdict for verdict in verdicts}
    ballots: list[Ballot] = []

    def counted() -> Iterator[Ballot]:
        for ballot in run.each_ballot():
            if ballot.utterance_id in ids:
                ballots.append(ballot)
            yield ballot

    cost = cost_data(counted())
    why = reasons(run, utterances, verdicts, ballots)
    name = run.path.resolve().name
    data = {
        "name": name,
        "ragemo": run.manifest["ragemo"],
        "labels": [
            {"name": label.name, "word": label.word, "colour": label.colour} for label in run.labels
        ],
        "notes": list(run.manifest["notes"]),
        "reference": run.manifest["uses_reference_transcripts"],
        "score": score_data(run, own, samples=samples, seed=seed),
        "cost": cost,
        "settings": settings_data(run),
        "manifest": manifest_data(run),
        "panels": panels_data(run),
        "left_out": shown.left_out,
        "block": BLOCK,
        "turns": columns(utterances, by_id, why, run.labels),
        "compare": other
        and comparison_data(run, own, other, utterances, samples=samples, seed=seed),
    }
    if shown.limit:
        data["limit"] = f"{shown.limit}."
    details = blocks(
        utterances,
        by_id,
        ballots,
        why,
        found=run.demonstrations(by_id.keys()),
        asked=[asked for asked in run.each_prompt() if asked.prompt.utterance_id in ids],
    )
    names = short_names([data["settings"], data["manifest"]])
    return render(
        with_short_names(data, names),
        with_short_names(details, names),
        LIMITED if shown.limit else RUN,
    )


def comparison_data(
    run: Run,
    own: Predictions,
    other: Run,
    utterances: Sequence[RunUtterance],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """What the run says beside an earlier one: its verdicts turn by turn, and the differences.

    Args:
        run: the later one.
        own: its predictions.
        other: the earlier one.
        utterances: those that are shown.
        samples, seed: as everywhere.

    `label` and `confidence` are the earlier run's, a place for each of `utterances`. `figures` is
    the comparison as `ragemo.runs.compare` has it, or None without gold labels.
    """
    names = run_names([other, run])
    if set(run.labels.names) != set(other.labels.names):
        raise DataError(
            f"{names[0]} has the labels {', '.join(other.labels.names)}, {names[1]} has "
            f"{', '.join(run.labels.names)}; only runs with the same labels can be compared"
        )
    ids = [utterance.turn.utterance_id for utterance in utterances]
    theirs = dict.fromkeys(ids)
    theirs |= {one.utterance_id: one for one in other.each_verdict() if one.utterance_id in theirs}
    found = [theirs[name] for name in ids]
    figures = None
    if set(own.ids) & set(scored(other).ids):
        figures = compare_runs([other, run], samples=samples, seed=seed, common=True).to_dict()
    elif not any(found):
        raise DataError(
            f"{names[0]} and {names[1]} share no predicted utterance that would be shown; a "
            "comparison needs runs on the same corpus file"
        )
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
