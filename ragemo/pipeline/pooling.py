"""Decide anew, on ballots that are there already; nobody is asked and nothing is paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragemo import __version__
from ragemo.errors import SettingsError
from ragemo.files import sha256_file
from ragemo.pipeline.plan import Plan, index_ballots, look_up
from ragemo.pipeline.pooled_runs import (
    check_same_utterances,
    found_by,
    names_of,
    notes_of,
    panel_of,
    was_tried_on,
)
from ragemo.pipeline.predicting import carry_out
from ragemo.pipeline.voters import check_named, joining_ballots, weights_hash
from ragemo.progress import Progress
from ragemo.retrieval.embedding.embedder import Embedder
from ragemo.retrieval.index import Index
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.runs.run import Run
from ragemo.settings import Settings
from ragemo.voting.imported import Imported


def vote(
    runs: Sequence[Run],
    settings: Settings,
    out: Path | str,
    *,
    index: Index | None = None,
    embedder: Embedder | None = None,
    imported: Sequence[Imported] = (),
    progress: Progress | None = None,
) -> Run:
    """Pool the ballots of runs on the same utterances, and of other systems, in a new run.

    Args:
        runs: at least one. The first one's transcripts and gold labels are the new run's.
        settings: of retrieval and voting. With an index, what was shut out when the runs were
            made is shut out again only if these say so; `retrieval_of` has the first run's.
        out: the new run's folder.
        index: its voters vote anew, and the others are weighed by its labelled windows. Without
            one, the ballots of the runs' index voters stand, with the weights of the first run;
            voters that it did not have are weighed by agreement.
        embedder: the index's embedder; needed with an index.
        imported: ballots of other systems.
        progress: told what is being done.

    Two runs may have asked the same model; the later one's voter then bears its run's name, too.

    Raises:
        SettingsError: if the runs are on other utterances or labels, or do not fit the index.
        RunFolderError: if `out` cannot be used, or a run is not finished.
    """
    for run in runs:
        run.check_finished()
    first = runs[0]
    utterances, labels = first.utterances, first.labels
    targets = tuple(u.turn.utterance_id for u in utterances if u.predicted)
    for run in runs[1:]:
        check_same_utterances(first, run)
    if index is not None and index.labels.names != labels.names:
        raise SettingsError(
            f"{first.path} has the labels {', '.join(labels.names)}, the index "
            f"{', '.join(index.labels.names)}; use an index of the same label set"
        )
    names = names_of(runs, with_index=index is not None)
    strangers = [run for run in runs if index is not None and not was_tried_on(index, run)]
    brought = [
        replace(ballot, voter=own[ballot.voter])
        for run, own in zip(runs, names, strict=True)
        for ballot in run.ballots()
        if ballot.voter in own and not (ballot.purpose == "check" and run in strangers)
    ]
    there = {
        *(INDEX_VOTERS if index else ()),
        *(ballot.voter for ballot in brought),
        *(voter for one in imported for voter in one.voters),
    }
    check_named(settings.voting.voters, sorted(there))
    turns = [utterance.turn for utterance in utterances]
    asked = set(targets)
    rows = [row for row, turn in enumerate(turns) if turn.utterance_id in asked]
    retrieval = look_up(
        settings,
        turns,
        rows,
        index=index,
        embedder=embedder,
        sha256=first.manifest["corpus"]["sha256"],
        progress=progress,
    )
    same = retrieval.own if retrieval else frozenset()
    foreign = [turn.utterance_id for turn in turns if turn.dialogue_id not in same]
    ballots = [
        *index_ballots(targets, retrieval),
        *brought,
        *joining_ballots(imported, targets, index, foreign),
    ]
    found = dict(zip(targets, retrieval.found, strict=True)) if retrieval else {}
    plan = Plan(
        utterances=utterances,
        targets=targets,
        labels=labels,
        demonstrations={target: one.demonstrations for target, one in found.items()}
        or found_by(runs),
        ballots=tuple(ballots),
        asked=tuple(
            replace(prompt, model=own[prompt.model])
            for run, own in zip(runs, names, strict=True)
            for prompt in run.prompts()
            if prompt.model in own
        ),
        parts=retrieval.parts if retrieval else {},
        part_of={target: one.part for target, one in found.items()},
        own=frozenset(target for target, one in found.items() if one.own),
        manifest={
            "ragemo": __version__,
            "settings": {
                **settings.model_dump(mode="json", exclude={"index", "llm", "prompt"}),
                "limit": first.manifest["settings"]["limit"],
            },
            **{name: first.manifest[name] for name in ("corpus", "transcript", "labels")},
            "notes": list(
                dict.fromkeys(note for own in notes_of(runs, strangers, retrieval) for note in own)
            ),
            "uses_reference_transcripts": any(
                run.manifest["uses_reference_transcripts"] for run in runs
            )
            or (index is not None and index.transcript == "reference"),
            "weights": weights_hash(settings),
            "index": index.summary() if index else first.manifest["index"],
            "llm": None,
            "runs": [
                {
                    "run": run.path.name,
                    "llm": run.manifest["llm"],
                    "ballots_sha256": sha256_file(run.path / "ballots.jsonl"),
                }
                for run in runs
            ],
            "imported": [{"voters": list(i.voters), "sha256": i.sha256} for i in imported],
        },
    )
    given = None if index is not None else panel_of(first, settings)
    return carry_out(plan, settings, out, given=given, progress=progress)


def retrieval_of(run: Run) -> dict[str, Any]:
    """The retrieval settings that a run was made with, as a config's section."""
    return dict(run.manifest["settings"]["retrieval"])
