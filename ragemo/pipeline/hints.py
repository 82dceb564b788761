"""What the index's own voters believe of an utterance, to be shown to a language model.

Those that count in the vote; all of them, if none does.
"""

from __future__ import annotations

from collections.abc import Sequence

from ragemo.retrieval.index import Index
from ragemo.retrieval.retrieve import Retrieval
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.settings import VotingSettings
from ragemo.types import Ballot, Distribution, Turn
from ragemo.voting.decide import decide
from ragemo.voting.labelled import index_panel


def target_hints(
    turns: Sequence[Turn],
    targets: Sequence[str],
    retrieval: Retrieval,
    how: VotingSettings,
) -> dict[str, Distribution]:
    """Target -> the verdict's distribution if the index's voters decided alone.

    Whatever is asked for elsewhere, nothing looks ahead here: a hint stands in a prompt. None of
    the voters has learned from the target's own dialogue.
    """
    how = _causal(how)
    panels = {part: index_panel(index, how)[1] for part, index in retrieval.parts.items()}
    ballots = [
        Ballot(target, voter, distribution=shares)
        for target, found in zip(targets, retrieval.found, strict=True)
        for voter, shares in found.votes.items()
        if how.voters is None or voter in how.voters
    ]
    part_of = {t: found.part for t, found in zip(targets, retrieval.found, strict=True)}
    decision = decide(
        turns, targets, ballots, retrieval.index.labels, panels=panels, part_of=part_of
    )
    return {
        verdict.utterance_id: verdict.distribution
        for verdict in decision.verdicts
        if verdict.distribution is not None
    }


def held_out_hints(index: Index, how: VotingSettings) -> dict[str, Distribution]:
    """Held-out window of the index -> what its voters, who did not see it, decide alone."""
    known, panel = index_panel(index, _causal(how))
    shares = panel.decided(panel.pooled(known.votes), known.links)[0]
    return {
        utterance: tuple(own)
        for utterance, own in zip(known.votes.utterances, shares.tolist(), strict=True)
    }


def _causal(how: VotingSettings) -> VotingSettings:
    """The settings with voters of the index alone, and no decoder that looks ahead."""
    decoder = "none" if how.dialogue == "none" else "filter"
    voters = tuple(voter for voter in how.voters or () if voter in INDEX_VOTERS)
    return how.model_copy(update={"voters": voters or None, "dialogue": decoder})
