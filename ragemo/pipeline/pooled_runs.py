"""What runs bring when they are pooled: which of them fit together, their names and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragemo.errors import SettingsError
from ragemo.retrieval.index import Index
from ragemo.retrieval.retrieve import Retrieval, same_words
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.runs.run import Run
from ragemo.settings import Settings
from ragemo.types import Demonstration
from ragemo.voting.panel import Panel


def check_same_utterances(first: Run, run: Run) -> None:
    """Refuse runs whose ballots are on other things."""
    if run.labels.names != first.labels.names:
        raise SettingsError(f"{run.path} and {first.path} have different label sets")
    one, other = (
        {u.turn.utterance_id: u.turn for u in r.utterances if u.predicted} for r in (first, run)
    )
    same_file = first.manifest["corpus"]["sha256"] == run.manifest["corpus"]["sha256"]
    shared = [(one[name], other[name]) for name in one if name in other]
    if not shared or not (same_file or same_words(shared)):
        raise SettingsError(
            f"{run.path} and {first.path} predict different utterances "
            f"({min(other, default='none')!r}, {min(one, default='none')!r}, or the same ids with "
            "other words); only runs on the same ones can be pooled"
        )


def was_tried_on(index: Index, run: Run) -> bool:
    """Whether a run's answers on labelled windows, if it has any, are on those of the index.

    The ids alone do not tell: many corpora number each of their splits from 0.
    """
    own = run.manifest["index"]
    return own is None or _files_of(own["corpus"]) <= _files_of(index.corpus)


def _files_of(corpus: Mapping[str, Any]) -> set[str]:
    """The hashes of an index's corpus files; an index that was added to has several."""
    return {str(one.get("sha256")) for one in corpus.get("added") or [corpus]}


def notes_of(
    runs: Sequence[Run], strangers: Sequence[Run], retrieval: Retrieval | None
) -> list[Sequence[str]]:
    """What is to be said of the runs, and of the index."""
    said = [
        f"{run.path.name} was made with an index of other data: its models are weighed by "
        "agreement, not by what they said of labelled windows"
        for run in strangers
        if any(ballot.purpose == "check" for ballot in run.ballots())
    ]
    first, predicted = runs[0].path.name, [_predicted(run) for run in runs]
    said += [
        f"{run.path.name} predicts {len(own):,} utterances, {first} {len(predicted[0]):,}; "
        f"verdicts are on those of {first}"
        for run, own in zip(runs, predicted, strict=True)
        if own != predicted[0]
    ]
    return [*(run.manifest["notes"] for run in runs), said, retrieval.notes if retrieval else ()]


def _predicted(run: Run) -> set[str]:
    return {one.turn.utterance_id for one in run.utterances if one.predicted}


def found_by(runs: Sequence[Run]) -> dict[str, tuple[Demonstration, ...]]:
    """The demonstrations of the first finished run that has any."""
    found = (run.demonstrations() for run in runs if run.finished)
    return next((own for own in found if any(own.values())), {})


def names_of(runs: Sequence[Run], *, with_index: bool) -> list[dict[str, str]]:
    """For each run: its voters that count, and the name of its own that each gets."""
    taken: set[str] = set()
    names: list[dict[str, str]] = []
    for number, run in enumerate(runs):
        own: dict[str, str] = {}
        for voter in sorted({ballot.voter for ballot in run.ballots()}):
            if voter in INDEX_VOTERS and (with_index or number > 0):
                continue
            name = voter if voter not in taken else f"{voter} of {run.path.name}"
            while name in taken:
                name += "'"
            taken.add(name)
            own[voter] = name
        names.append(own)
    return names


def panel_of(run: Run, settings: Settings) -> Panel | None:
    """The weights a run was decided with, if they are for the same pool."""
    panels: list[dict[str, Any]] = run.panels()
    if len(panels) != 1:
        raise SettingsError(
            f"{run.path} was decided with the index's own dialogues left out in turn; give the "
            "index, too, for that to be done again"
        )
    panel = Panel.from_dict(panels[0]["panel"])
    return panel if panel.pool == settings.voting.pool else None
