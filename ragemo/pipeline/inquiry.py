"""Ask about one utterance until its outcome is settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ragemo.llm.protocol import LanguageModel
from ragemo.pipeline.questions import Question
from ragemo.types import Ballot, Prompt
from ragemo.voting.stopping import StoppingRule, vote_counts


class SettlingInquiry:
    """The questions about one utterance, and the answers so far.

    No answer is asked for before it is known to be needed, save where it costs (almost) nothing:
    as many as must come anyway are asked for at once, and all samples of one prompt are where
    several answers share the price of the prompt.

    Args:
        questions: in the order they are asked.
        models: the run's language models.
        labels: how many labels there are.
        rule: when to stop.
        purpose: of the ballots, see `Ballot`.
        bases: voter -> what it says whatever it is asked, taken off before its first choice is
            counted, for models that score labels.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        models: Sequence[LanguageModel],
        labels: int,
        rule: StoppingRule,
        *,
        purpose: str = "verdict",
        bases: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self._models = models
        self._labels = labels
        self._rule = rule
        self._purpose = purpose
        self._bases = bases or {}
        self._ballots: dict[int, Ballot] = {}
        self._question_of = {sample: q for q in questions for sample in q.samples}
        self._asked: set[int] = set()  # whatever comes back, nothing is asked twice

    def all_keys(self) -> list[tuple[str, str, str, int]]:
        """The keys of all ballots there may be."""
        return [
            (self._purpose, q.prompt.utterance_id, self._models[q.model].name, sample)
            for sample, q in self._question_of.items()
        ]

    def recall(self, ballots: Sequence[Ballot]) -> None:
        """Take in answers that are on disk already."""
        self._ballots |= {ballot.sample: ballot for ballot in ballots}

    def next(self) -> tuple[LanguageModel, Prompt, Sequence[int]] | None:
        """See `ragemo.llm.ask.Inquiry`."""
        done = self._asked | set(self._ballots)
        open_ones = [sample for sample in sorted(self._question_of) if sample not in done]
        if not open_ones:
            return None
        needed = self._rule.needed(self._counts(), len(open_ones))
        if not needed:
            return None
        question = self._question_of[open_ones[0]]
        model = self._models[question.model]
        own = [sample for sample in open_ones if sample in question.samples]
        if not model.shares_prompt:
            own = own[:needed]
        self._asked |= set(own)
        return model, question.prompt, own

    def hear(self, ballots: Sequence[Ballot]) -> Sequence[Ballot]:
        """See `ragemo.llm.ask.Inquiry`."""
        heard = [
            replace(
                ballot,
                variant=self._question_of[ballot.sample].variant,
                purpose=self._purpose,
            )
            for ballot in ballots
        ]
        self.recall(heard)
        return heard

    def _counts(self) -> list[int]:
        return vote_counts([self._unbiased(b) for b in self._ballots.values()], self._labels)

    def _unbiased(self, ballot: Ballot) -> Ballot:
        base = self._bases.get(ballot.voter)
        if base is None or ballot.log_likelihoods is None:
            return ballot
        scores = [own - common for own, common in zip(ballot.log_likelihoods, base, strict=True)]
        best = scores.index(max(scores))
        return replace(
            ballot, distribution=tuple(float(label == best) for label in range(len(scores)))
        )
