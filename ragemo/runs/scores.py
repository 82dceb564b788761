"""From a run's folder to its score."""

from __future__ import annotations

from dataclasses import replace

from ragemo.runs.run import Run
from ragemo.scoring.confusion import ScoredUtterance
from ragemo.scoring.score import Score, score
from ragemo.types import Verdict

RETRIEVAL_ONLY = "retrieval only"
"""The baseline of the index's own vote, without an LLM."""


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
    retrieved = {
        ballot.utterance_id: ballot.distribution
        for ballot in run.ballots()
        if ballot.voter == "neighbours"
    }
    others = {}
    if run.manifest["llm"] is not None and retrieved:
        others[RETRIEVAL_ONLY] = _scored(
            run,
            [
                Verdict(
                    verdict.utterance_id,
                    None if shares is None else run.labels.names[shares.index(max(shares))],
                    shares,
                    0.0,
                    1.0,
                )
                for verdict in verdicts
                for shares in [retrieved.get(verdict.utterance_id)]
            ],
        )
    own = _scored(run, verdicts)
    notes = []
    if len(own) < len(verdicts):
        notes.append(f"{len(verdicts) - len(own)} predicted utterances have no gold label")
    if run.manifest["uses_reference_transcripts"]:
        notes.append("reference transcripts were used: not allowed in a challenge run")
    result = score(
        own,
        run.labels,
        training_counts=index["label_counts"] if index else None,
        others=others,
        seed=seed,
        samples=samples,
    )
    return replace(result, notes=(*notes, *result.notes))


def _scored(run: Run, verdicts: list[Verdict]) -> list[ScoredUtterance]:
    known = {utterance.turn.utterance_id: utterance for utterance in run.utterances}
    return [
        ScoredUtterance(
            id=verdict.utterance_id,
            dialogue_id=known[verdict.utterance_id].turn.dialogue_id,
            gold=gold,
            predicted=verdict.label,
            distribution=verdict.distribution,
            invalid=verdict.label is None and verdict.failed == 0,
            failed=verdict.label is None and verdict.failed > 0,
        )
        for verdict in verdicts
        if (gold := known[verdict.utterance_id].gold) is not None
    ]
