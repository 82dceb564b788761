"""Who votes without being asked, and whether everybody who is named is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ragemo.errors import SettingsError
from ragemo.files import sha256_file
from ragemo.llm.protocol import ModelOutline
from ragemo.retrieval.index import Index
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.settings import Settings
from ragemo.types import Ballot
from ragemo.voting.imported import Imported
from ragemo.voting.matching import match_ballots


def joining_ballots(
    imported: Sequence[Imported],
    targets: Sequence[str],
    index: Index | None,
    foreign: Sequence[str],
) -> list[Ballot]:
    """Imported ballots on targets, and those on labelled windows, which tell their worth.

    Args:
        imported, targets, index: as everywhere.
        foreign: ids of the corpus's utterances in dialogues that are not the index's own. One
            that is no target may still be the id of another utterance of the index (MELD numbers
            each split from 0), whose label says nothing of it.
    """
    asked = set(targets)
    labelled = {index.turns[row].utterance_id for row in index.examples} if index else set()
    labelled -= set(foreign)
    everything = [ballot for one in imported for ballot in one.ballots]
    return [
        ballot if ballot.utterance_id in asked else replace(ballot, purpose="check")
        for ballot in everything
        if ballot.utterance_id in asked | labelled
    ]


def notes_on(imported: Imported, targets: Sequence[str], index: Index | None) -> list[str]:
    """What a person should know of an imported file."""
    labelled = [index.turns[row].utterance_id for row in index.examples] if index else []
    return [*imported.notes, *match_ballots(imported, targets, labelled)]


def check_named(wanted: Sequence[str] | None, there: Sequence[str]) -> None:
    """Refuse voters that are not there.

    Raises:
        SettingsError: naming one, and those there are.
    """
    if wanted is None:
        return
    if unknown := [voter for voter in wanted if voter not in there]:
        raise SettingsError(
            f"voting.voters: there is no voter {unknown[0]!r}; there are {', '.join(there)}"
        )
    if not wanted:
        raise SettingsError(f"voting.voters names nobody; there are {', '.join(there)}")


def weights_hash(settings: Settings) -> str | None:
    """SHA-256 of the weights' file, for manifests; None without one.

    Raises:
        SettingsError: if it cannot be read.
    """
    if settings.voting.weights is None:
        return None
    try:
        return sha256_file(Path(settings.voting.weights))
    except OSError as error:
        raise SettingsError(
            f"{settings.voting.weights}: cannot be read ({error}); `ragemo calibrate RUN --out "
            f"{settings.voting.weights}` makes one"
        ) from None


def check_voters(
    settings: Settings,
    index: Index | None,
    models: Sequence[ModelOutline],
    imported: Sequence[Imported],
) -> None:
    """Refuse voters that are not there, and asking for pay who has no vote."""
    asked = list(dict.fromkeys(model.name for model in models))
    there = [*(INDEX_VOTERS if index else ()), *asked, *(v for i in imported for v in i.voters)]
    if twice := [voter for row, voter in enumerate(there) if voter in there[:row]]:
        raise SettingsError(
            f"two voters are called {twice[0]!r}; give the imported system another name"
        )
    wanted = settings.voting.voters
    if wanted is None:
        return
    check_named(wanted, there)
    if silent := [voter for voter in asked if voter not in wanted]:
        raise SettingsError(
            f"voting.voters leaves out {silent[0]!r}, which would be asked all the same; "
            "add it, or use --llm none"
        )
