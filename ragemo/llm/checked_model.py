"""Whatever a language model gives, looked at before anything is kept of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from ragemo.corpus.checked import NO_RECORD
from ragemo.errors import ModelError
from ragemo.files import parse_json
from ragemo.labels import LabelSet
from ragemo.llm.ballots import check_ballot, is_plain, plain_ballot, read_ballot
from ragemo.llm.wrapped import WrappedModel
from ragemo.types import Ballot, Prompt

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class CheckedModel(WrappedModel):
    """A language model, which may be somebody's own, that gives what can be kept or nothing.

    A ballot that no file gives back would make a run unreadable, and a cache that others use, too.
    Each is therefore what it would be if it were read again, from the first time on.
    """

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel`.

        Raises:
            ModelError: if a ballot is none that can be kept, or they are not the first of those
                that were asked for, in their order.
        """
        ballots = await self.model.ask(prompt, labels, samples)
        try:
            kept = [_as_kept(ballot, labels) for ballot in ballots]
        except (*NO_RECORD, RecursionError) as error:
            raise ModelError(
                f"{self.name} gave a ballot on {prompt.utterance_id!r} that cannot be kept "
                f"({error}); what a ballot holds is told in ragemo.types.Ballot"
            ) from None
        came = [(ballot.utterance_id, ballot.voter, ballot.sample) for ballot in kept]
        asked = [(prompt.utterance_id, self.name, sample) for sample in samples]
        if not came or came != asked[: len(came)]:
            raise ModelError(
                f"{self.name} gave ballots of (utterance_id, voter, sample) {came}, expected the "
                f"first, or all, of {asked}, in this order; see "
                "ragemo.llm.protocol.LanguageModel.ask"
            )
        return kept


def _as_kept(ballot: Ballot, labels: LabelSet) -> Ballot:
    """As it is read again, with nothing in it that its maker could still change."""
    if is_plain(ballot):
        kept = replace(ballot, details={})
    else:
        kept = read_ballot(parse_json(_encode(plain_ballot(ballot)).encode()))
    return check_ballot(kept, labels)
