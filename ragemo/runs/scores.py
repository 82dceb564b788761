"""From a run's folder to its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ragemo.runs.run import Run
from ragemo.scoring.confusion import ScoredUtterance
from ragemo.scoring.paired import Difference, paired_differences
from ragemo.scoring.score import Score, score
from ragemo.types import Verdict
from ragemo.voting.decide import decide
from ragemo.voting.panel import Panel

INDEX_ALONE = "index alone"
"""The baseline of the index's own voters, without anybody else."""


def score_run(run: Run, *, samples: int = 1000, seed: int = 0) -> Score:
    """Score a finished run on its utterances that have a gold label.

    Args:
        run: opened by `Run.open`.
        samples: of the bootstrap over dialogues.
        seed: of the bootstrap.

    Raises:
        RunFolderError: if the run is not finished.
        DataError: if no utterance has a gold label.
    """
    verdicts = run.verdicts()
    index = run.manifest["index"]
    alone = index_alone(run, verdicts)
    others = {} if alone is None else {INDEX_ALONE: scored(run, alone)}
    own = scored(run, verdicts)
    notes: list[str] = []
    if len(own) < len(verdicts):
        notes.append(f"{len(verdicts) - len(own)} predicted utterances have no gold label")
    if run.manifest["uses_reference_transcripts"]:
        notes.append("reference transcripts were used: not allowed in a challenge run")
    notes += run.manifest["notes"]
    if any(record["panel"]["decoder"] == "viterbi" for record in run.panels()):
        notes.append("labels rest on later turns, too (voting.dialogue: viterbi)")
    result = score(
        own,
        run.labels,
        training_counts=index["label_counts"] if index else None,
        others=others,
        seed=seed,
        samples=samples,
    )
    return replace(result, notes=(*notes, *result.notes))


def index_alone(run: Run, verdicts: Sequence[Verdict]) -> list[Verdict] | None:
    """What the index's own voters would have decided without anybody else.

    None where nobody else voted, or there is no index.
    """
    panels = run.panels()
    if not any(record["weighed"] for record in panels):
        return None
    if any(record["index_alone"] is None for record in panels):
        return None
    targets = [verdict.utterance_id for verdict in verdicts]
    decision = decide(
        [utterance.turn for utterance in run.utterances],
        targets,
        [ballot for ballot in run.ballots() if ballot.purpose == "verdict"],
        run.labels,
        panels={
            place: Panel.from_dict(record["index_alone"]) for place, record in enumerate(panels)
        },
        part_of=dict(zip(targets, run.parts(), strict=True)),
    )
    return list(decision.verdicts)


def gain(
    run: Run,
    before: Sequence[Verdict],
    after: Sequence[Verdict],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """What other verdicts on a run's utterances gain, by paired bootstrap over dialogues."""
    return paired_differences(
        scored(run, after), scored(run, before), run.labels, samples=samples, seed=seed
    )


def gain_data(differences: dict[str, Difference]) -> dict[str, Any]:
    """The differences as plain data."""
    return {name: asdict(difference) for name, difference in differences.items()}


def scored(run: Run, verdicts: Sequence[Verdict]) -> list[ScoredUtterance]:
    """A run's verdicts beside their gold labels, where there are any."""
    known = {utterance.turn.utterance_id: utterance for utterance in run.utterances}
    return [
        ScoredUtterance(
            id=verdict.utterance_id,
            dialogue_id=known[verdict.utterance_id].turn.dialogue_id,
            gold=gold,
            predicted=verdict.label,
            distribution=verdict.distribution,
            invalid=verdict.invalid > 0,
            failed=verdict.failed > 0,
            label_set=verdict.label_set or None,
            abstained=verdict.abstained,
        )
        for verdict in verdicts
        if (gold := known[verdict.utterance_id].gold) is not None
    ]
