"""Hold the ids of imported ballots against those of a run."""

from __future__ import annotations

from collections.abc import Collection
from reprlib import repr as brief

from ragemo.errors import DataError
from ragemo.voting.imported import Imported


def match_ballots(
    imported: Imported, utterances: Collection[str], labelled: Collection[str] = ()
) -> tuple[str, ...]:
    """Hold a file's ids against those of a run.

    Args:
        imported: the file.
        utterances: ids of the utterances to predict.
        labelled: ids with known labels, on which the systems can be weighed.

    Returns:
        Notes for a person, one sentence each: utterances on which a system does not vote, and
        ids that are not to be predicted.

    Raises:
        DataError: if no utterance to predict is in the file.
    """
    asked = set(utterances)
    ids: dict[str, set[str]] = {voter: set() for voter in imported.voters}
    for ballot in imported.ballots:
        ids[ballot.voter].add(ballot.utterance_id)
    extra = set().union(*ids.values()) - asked
    known = extra.intersection(labelled)
    if not any(asked & own for own in ids.values()):
        raise DataError(
            f"none of its ids is to be predicted: it has {_examples(extra)} ({len(extra)} in all), "
            f"to be predicted are {_examples(asked)} ({len(asked)} in all). "
            + (
                f"{len(known)} of its ids are labelled utterances of the index: is it of the "
                "training part?"
                if known
                else "Is it of another corpus or part, or are its ids written another way?"
            ),
            path=imported.path,
        )
    notes = []
    for voter, own in ids.items():
        if missing := asked - own:
            notes.append(
                f"{brief(voter)} has no row on {len(missing)} of the {len(asked)} utterances to "
                f"predict ({_examples(missing)}) and does not vote there."
            )
    if known:
        notes.append(f"Ids of labelled utterances, on which it can be weighed: {len(known)}.")
    if unknown := extra - known:
        notes.append(
            f"Ids that are not to be predicted, passed over: {len(unknown)} ({_examples(unknown)})."
        )
    return tuple(notes)


def _examples(ids: Collection[str]) -> str:
    return ", ".join(brief(name) for name in sorted(ids)[:2]) or "none"
