"""A language model that is asked only what was never answered."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from ragemo.labels import LabelSet
from ragemo.llm.answer_cache import AnswerCache, answer_key
from ragemo.llm.group_commit import GroupCommit
from ragemo.llm.protocol import LanguageModel, in_one_call
from ragemo.llm.wrapped import WrappedModel
from ragemo.types import Ballot, Prompt


class CachedModel(WrappedModel):
    """A language model in front of which a cache answers what it knows.

    An answer that was really asked for is on disk before anybody hears of it.

    Args:
        model: who is asked.
        cache: read before each call, written after it.
    """

    def __init__(self, model: LanguageModel, cache: AnswerCache) -> None:
        super().__init__(model)
        self._cache = cache
        self._asking: dict[str, asyncio.Event] = {}
        self._commit = GroupCommit(self._write)
        self._places: asyncio.Semaphore | None = None  # belongs to one event loop

    @property
    def concurrency(self) -> int:
        """Twice the model's, so that all it takes are in flight while others wait for the disk."""
        return 2 * self.model.concurrency

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel`; only what is not known is asked, and answers are kept at once.

        As many answers as one call gives now, were none of them known.

        Raises:
            RunFolderError: if an answer cannot be read or kept.
        """
        keys = {sample: answer_key(self.model, prompt, labels, sample) for sample in samples}
        while same := [self._asking[key] for key in keys.values() if key in self._asking]:
            await same[0].wait()  # another utterance asks the very same
        samples = in_one_call(samples, self.model.answers_per_call)
        known = {
            key: replace(ballot, from_cache=True)
            for key, ballot in self._cache.read(keys.values(), labels).items()
        }
        missing = [sample for sample in samples if keys[sample] not in known]
        if self.exact:
            missing = missing[:1]
        if missing:
            known |= await self._ask(prompt, labels, {sample: keys[sample] for sample in missing})
        there = takewhile(lambda sample: keys[sample] in known, samples)
        return [
            replace(
                known[keys[sample]],
                utterance_id=prompt.utterance_id,
                voter=self.name,
                sample=sample,
            )
            for sample in there
        ]

    async def close(self) -> None:
        """See `LanguageModel`; what was answered is on disk then."""
        self._places = None
        try:
            await self._commit.finish()
        finally:
            await self.model.close()

    async def _ask(
        self, prompt: Prompt, labels: LabelSet, keys: Mapping[int, str]
    ) -> dict[str, Ballot]:
        """Really ask, and keep what is answered."""
        done = asyncio.Event()
        self._asking |= dict.fromkeys(keys.values(), done)
        self._places = self._places or asyncio.Semaphore(self.model.concurrency)
        try:
            async with self._places:
                ballots = await self.model.ask(prompt, labels, list(keys))
            answers = {keys[ballot.sample]: ballot for ballot in ballots}
            await self._commit.add([(key, b) for key, b in answers.items() if not b.failed])
            return answers
        finally:
            for key in keys.values():
                del self._asking[key]
            done.set()

    def _write(self, answers: Collection[tuple[str, Ballot]]) -> None:
        self._cache.write(dict(answers))
