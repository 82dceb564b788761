"""From a run's folder to its score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import PurePath

from ragemo.corpus.formats import FORMATS
from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.runs.columns import decided_anew, read_columns
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run
from ragemo.runs.slices import run_slices
from ragemo.scoring.predictions import Predictions, ScoredUtterance
from ragemo.scoring.published import Condition
from ragemo.scoring.score import Score, score
from ragemo.types import Verdict
from ragemo.voting.panel import Panel

INDEX_ALONE = "index alone"
"""The baseline of the index's own voters, without anybody else."""


NO_SETS = (
    "label sets are left out where a voter was tried on too few labelled windows for their coverage"
)
"""What is said where `lacks_sets`."""


def score_run(
    run: Run,
    own: Predictions | None = None,
    *,
    samples: int = 1000,
    seed: int = 0,
    slices: bool = True,
) -> Score:
    """Score a finished run on its utterances that have a gold label.

    Args:
        run: opened by `Run.open`.
        own: its predictions, where they are read already: for a million that takes minutes.
        samples: of the bootstrap over dialogues.
        seed: of the bootstrap.
        slices: whether slices are scored, too.

    Raises:
        RunFolderError: if the run is not finished.
        DataError: if no utterance has a gold label.
    """
    own = scored(run) if own is None else own
    index = run.manifest["index"]
    alone = index_alone(run, own)
    result = score(
        own,
        training_counts=index["label_counts"] if index else None,
        others={} if alone is None else {INDEX_ALONE: alone},
        slices=run_slices(run.each_utterance(), own.ids) if slices else {},
        seed=seed,
        samples=samples,
    )
    notes = run_notes(run)
    if unknown := run.count_verdicts() - len(own):
        notes.insert(0, f"{unknown} predicted utterances have no gold label")
    if lacks_sets(run):
        notes.append(NO_SETS)
    return replace(result, notes=(*notes, *result.notes))


def lacks_sets(run: Run) -> bool:
    """Whether a part's verdicts have no label set."""
    return any(record["panel"]["threshold"] is None for record in run.panels())


def run_notes(run: Run) -> list[str]:
    """What a reader of the run's figures must know of how they came about."""
    notes = []
    if run.manifest["uses_reference_transcripts"]:
        notes.append("reference transcripts were used: not allowed in a challenge run")
    notes += run.manifest["notes"]
    if any(record["panel"]["decoder"] == "viterbi" for record in run.panels()):
        notes.append("labels rest on later turns, too (voting.dialogue: viterbi)")
    return notes


def condition_of(run: Run) -> Condition:
    """What a run was measured on, as its manifest tells it, to see it beside published results.

    The corpus is the file's format, and the label set has to be that corpus's own: mapped labels
    make other figures. A plain file is known by its label set alone. Nothing tells the split but
    the file's name, nor whether a file in the challenge's format is the challenge's.
    """
    format_, labels = run.manifest["corpus"]["format"], run.labels.name
    corpus = labels if format_ in ("plain", labels) else None
    if format_ == "plain":
        transcript = ""
    else:
        one_text = format_ in FORMATS and FORMATS[format_].ONE_TEXT
        transcript = "written" if one_text else "ASR"
    return Condition(
        corpus=corpus,
        file=run.manifest["corpus"]["file"],
        training=_training_of(run),
        transcript="reference" if run.manifest["uses_reference_transcripts"] else transcript,
        reason=""
        if corpus
        else f"the file is read as {format_}, and the labels are those of {labels}",
    )


def _training_of(run: Run) -> str:
    """Who decided, and whether anybody was shown labelled examples, in words."""
    counting = run.manifest["settings"]["voting"]["voters"]
    voters = {
        ballot.voter
        for ballot in run.each_ballot()
        if ballot.purpose == "verdict" and (counting is None or ballot.voter in counting)
    }
    asked: dict[str, bool] = {}  # voter -> whether it was shown any demonstration
    for prompt in run.each_prompt():
        if prompt.model in voters:
            asked[prompt.model] = asked.get(prompt.model, False) or bool(prompt.shown)
    parts = []
    if asked:
        parts.append("in-context" if any(asked.values()) else "zero-shot")
    if voters & set(INDEX_VOTERS):
        parts.append("index" if parts else "index only")
    if voters - set(INDEX_VOTERS) - asked.keys():
        parts.append("imported votes")
    return " + ".join(parts)


def index_alone(run: Run, own: Predictions) -> Predictions | None:
    """What the index's own voters would have decided without anybody else.

    Args:
        run: finished; its files are read through and not kept.
        own: its predictions.

    None where nobody else voted, or there is no index.

    Raises:
        RunFolderError: if the run is damaged.
    """
    records = run.panels()
    if not any(record["weighed"] for record in records):
        return None
    if any(record["index_alone"] is None for record in records):
        return None
    panels = {n: Panel.from_dict(record["index_alone"]) for n, record in enumerate(records)}
    voters = {voter for panel in panels.values() for voter in panel.weights}
    columns = read_columns(
        run, (b for b in run.each_ballot() if b.purpose == "verdict" and b.voter in voters)
    )
    return decided_anew(run, columns, own, panels, columns.part)


def scored(run: Run) -> Predictions:
    """A run's verdicts beside their gold labels, where there are any.

    Args:
        run: finished; its files are read through and not kept.

    Raises:
        RunFolderError: if the run is not finished or damaged.
        DataError: as `predictions_on`.
    """
    return predictions_on(run.beside(), run.labels)


def predictions_on(pairs: Iterable[tuple[RunUtterance, Verdict]], labels: LabelSet) -> Predictions:
    """Verdicts beside the gold labels of what they are on; those without one are passed over.

    Raises:
        DataError: if an utterance comes twice, or a verdict's label or distribution is none of
            the label set.
    """
    return Predictions.of(
        (
            ScoredUtterance(
                id=verdict.utterance_id,
                dialogue_id=utterance.turn.dialogue_id,
                gold=utterance.gold,
                predicted=verdict.label,
                distribution=verdict.distribution,
                invalid=verdict.invalid > 0,
                failed=verdict.failed > 0,
                label_set=verdict.label_set or None,
                abstained=verdict.abstained,
            )
            for utterance, verdict in pairs
            if utterance.gold is not None
        ),
        labels,
    )


def run_names(runs: Sequence[Run]) -> list[str]:
    """The names of the runs' folders, with the folders above that tell them apart.

    Raises:
        SettingsError: if a run comes twice.
    """
    paths = [run.path.resolve() for run in runs]
    for place, path in enumerate(paths):
        if path in paths[:place]:
            raise SettingsError(f"{runs[place].path} is named twice; name each run once")
    return shortest_tails(paths)


def shortest_tails(paths: Sequence[PurePath]) -> list[str]:
    """The last parts of absolute paths: one, or more where two would be alike.

    Folders that are above all of them are never among them.
    """
    rows = [[part for part in (p.drive, *p.relative_to(p.anchor).parts) if part] for p in paths]
    above = zip(*(row[:-1] for row in rows), strict=False)
    shared = len(list(takewhile(lambda parts: len(set(parts)) == 1, above)))
    rows = [row[shared:] for row in rows]
    lengths = [1] * len(rows)
    while True:
        tails = ["/".join(row[-n:]) for row, n in zip(rows, lengths, strict=True)]
        longer = [
            n + 1 if tails.count(tail) > 1 and n < len(row) else n
            for row, n, tail in zip(rows, lengths, tails, strict=True)
        ]
        if longer == lengths:
            return tails
        lengths = longer
