"""Ask about one utterance until its outcome is settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from ragemo.llm.protocol import LanguageModel, in_one_call
from ragemo.pipeline.outlook import Outlook
from ragemo.pipeline.questions import Question
from ragemo.types import Ballot, Prompt
from ragemo.voting.stopping import StoppingRule, vote_counts


class SettlingInquiry:
    """The questions about one utterance, and the answers so far.

    Answers are asked for in the order of their numbers, call by call, and none before it is known
    to be needed, save where it costs (almost) nothing: with those that come for the price of one
    prompt. What a call left out is asked for again if it is needed then, so how many answers are
    heard depends on what an endpoint gives at once, and not on what was known of it.

    Answers that are there already are not asked for again, and are heard as they were: in their
    turn, with those that came together. So an inquiry that was stopped goes the way it went.

    Args:
        questions: about one utterance; their samples' numbers are the order of asking.
        models: the run's language models.
        labels: how many labels there are.
        rule: when to stop.
        purpose: of the ballots, see `Ballot`.
        bases: voter -> what it says whatever it is asked, taken off before its first choice is
            counted, for models that score labels.
        outlook: what the pool would decide; from the second answer on, nothing is asked that
            could not change that, one answer at a time. None: only the rule counts.
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
        outlook: Outlook | None = None,
    ) -> None:
        self._models = models
        self._labels = labels
        self._rule = rule
        self._purpose = purpose
        self._bases = bases or {}
        self._outlook = outlook
        self._question_of = {sample: q for q in questions for sample in q.samples}
        self._open = sorted(self._question_of)
        self._asked: list[Sequence[int]] = []  # the steps that are not heard yet
        self._sure = 0  # how many of the open ones are needed, whatever comes
        self._there: dict[int, Ballot] = {}
        self._heard: list[Ballot] = []

    def all_keys(self) -> list[tuple[str, str, str, int]]:
        """The keys of all ballots there may be."""
        return [
            (self._purpose, q.prompt.utterance_id, self._models[q.model].name, sample)
            for sample, q in self._question_of.items()
        ]

    def recall(self, ballots: Sequence[Ballot]) -> None:
        """Take in answers that are on disk already, before anything is asked."""
        self._there |= {ballot.sample: ballot for ballot in ballots}

    def next(self) -> tuple[LanguageModel, Prompt, Sequence[int]] | None:
        """See `ragemo.llm.ask.Inquiry`."""
        while needed := self._needed():
            self._sure = needed
            if step := self._step():
                return step
        return None

    def ahead(self) -> tuple[LanguageModel, Prompt, Sequence[int]] | None:
        """A further step that is needed whatever the answers to the last one say; None: none is."""
        while self._sure > 0:
            if step := self._step():
                return step
        return None

    def hear(self, ballots: Sequence[Ballot]) -> Sequence[Ballot]:
        """See `ragemo.llm.ask.Inquiry`; what was asked for and did not come is open again."""
        came = {ballot.sample for ballot in ballots}
        together: dict[int, int] = {}
        for step in self._asked:
            there = [one for one in step if one in came or one in self._there]
            together |= dict.fromkeys(there, len(there))
            self._open += [one for one in step if one not in together]
        self._open.sort()
        self._asked = []
        heard = [
            replace(
                ballot,
                variant=self._question_of[ballot.sample].variant,
                purpose=self._purpose,
                together=together[ballot.sample],
            )
            for ballot in ballots
        ]
        self._heard += heard
        return heard

    def _step(self) -> tuple[LanguageModel, Prompt, Sequence[int]] | None:
        """What is asked of the prompt whose turn it is; None if all of that is there already."""
        question = self._question_of[self._open[0]]
        model = self._models[question.model]
        own = list(takewhile(question.samples.__contains__, self._open))
        known = self._there.get(own[0])
        step = in_one_call(own, model.answers_per_call if known is None else known.together)
        self._open = self._open[len(step) :]
        self._sure = min(self._sure - len(step), len(self._open))
        self._heard += [self._there[sample] for sample in step if sample in self._there]
        missing = [sample for sample in step if sample not in self._there]
        if not missing:
            return None
        self._asked.append(step)
        return model, question.prompt, missing

    def _needed(self) -> int:
        """How many more answers may be asked for at once; 0: all is settled."""
        if self._outlook is None:
            return self._rule.needed(self._counts(), len(self._open))
        if not self._heard or not self._open:
            return min(len(self._open), 1)
        # The model's own majority may be sure while the pool's verdict is not: it goes by shares.
        if self._rule.kind == "posterior" and self._rule.settled(self._counts(), len(self._open)):
            return 0
        awaited = [
            Ballot(question.prompt.utterance_id, self._models[question.model].name, sample)
            for sample in self._open
            for question in [self._question_of[sample]]
        ]
        return int(self._outlook.is_open(self._heard, awaited))

    def _counts(self) -> list[int]:
        return vote_counts([self._unbiased(ballot) for ballot in self._heard], self._labels)

    def _unbiased(self, ballot: Ballot) -> Ballot:
        base = self._bases.get(ballot.voter)
        if base is None or ballot.log_likelihoods is None:
            return ballot
        scores = [own - common for own, common in zip(ballot.log_likelihoods, base, strict=True)]
        best = scores.index(max(scores))
        return replace(
            ballot, distribution=tuple(float(label == best) for label in range(len(scores)))
        )
