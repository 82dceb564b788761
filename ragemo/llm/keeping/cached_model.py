"""A language model that is asked only what was never answered."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile

from ragemo.labels import LabelSet
from ragemo.llm.event_loop import PerLoop, tell
from ragemo.llm.keeping.answer_cache import AnswerCache, answer_key
from ragemo.llm.keeping.group_commit import GroupCommit
from ragemo.llm.keeping.group_read import GroupRead
from ragemo.llm.protocol import LanguageModel, in_one_call
from ragemo.llm.wrapped import WrappedModel
from ragemo.types import Ballot, Prompt


@dataclass(frozen=True, slots=True)
class _InLoop:
    """What asks in one event loop."""

    look_up: GroupRead[str, str]
    commit: GroupCommit[tuple[str, Ballot]]
    places: asyncio.Semaphore
    asking: dict[str, asyncio.Future[None]] = field(default_factory=dict)


class CachedModel(WrappedModel):
    """A language model in front of which a cache answers what it knows.

    An answer that was really asked for is on disk before anybody hears of it, and known to all from
    then on. What is being asked in one event loop is not waited for in another, which asks the same
    if it needs it.

    Args:
        model: who is asked.
        cache: read before each call, written after it.
    """

    def __init__(self, model: LanguageModel, cache: AnswerCache) -> None:
        super().__init__(model)
        self._cache = cache
        self._loops = PerLoop(self._open, self._settle)
        self._failure: BaseException | None = None  # of a write in an event loop that was left

    @property
    def concurrency(self) -> int:
        """Twice the model's, so that all it takes are in flight while others wait for the disk."""
        return 2 * self.model.concurrency

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel`; only what is not known is asked, and answers are kept at once.

        As many answers as one call gives now, were none of them known.

        Raises:
            RunFolderError: if an answer cannot be read or kept; whoever waits for it because he
                asks the very same is told so, too, and does not pay for it once more.
        """
        here = self._loops.here()
        keys = {sample: answer_key(self.model, prompt, labels, sample) for sample in samples}
        while True:
            first = in_one_call(samples, self.model.answers_per_call)
            before = {key: here.asking.get(key) for key in (keys[sample] for sample in first)}
            texts = await here.look_up.of(before.keys())
            missing = {sample: keys[sample] for sample in first if keys[sample] not in texts}
            # Another utterance asked the very same before this look, or since. A look is heard of
            # in the next turn of the event loop, and that an answer was stored is told in the
            # look's own turn at the earliest, to the commit, which tells who has asked: whoever
            # has asked since is still among these.
            others = (before[key] or here.asking.get(key) for key in missing.values())
            same = [other for other in others if other is not None]
            if not same:
                break
            await asyncio.wait(same)
            for future in same:
                future.result()
        known = {
            key: replace(ballot, from_cache=True)
            for key, ballot in self._cache.answers(texts, labels).items()
        }
        if missing:
            known |= await self._ask(here, prompt, labels, missing)
        there = takewhile(lambda sample: keys[sample] in known, first)
        return [self._as_of(known[keys[sample]], prompt, sample) for sample in there]

    async def close(self) -> None:
        """See `LanguageModel`; what was answered is on disk then."""
        try:
            await self._loops.here(settles=False).commit.finish()
            self._loops.here()
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
        finally:
            await self.model.close()

    async def _ask(
        self, here: _InLoop, prompt: Prompt, labels: LabelSet, keys: Mapping[int, str]
    ) -> dict[str, Ballot]:
        """Really ask, and keep what is answered."""
        if self.exact:
            keys = dict(islice(keys.items(), 1))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        here.asking.update(dict.fromkeys(keys.values(), done))

        def release(stored: asyncio.Future[None] | None = None) -> None:
            for key in keys.values():
                here.asking.pop(key, None)
            tell([done], None if stored is None else stored.exception())

        try:
            async with here.places:
                ballots = await self.model.ask(prompt, labels, list(keys))
            answers = {keys[ballot.sample]: ballot for ballot in ballots}
            stored = here.commit.add([(key, b) for key, b in answers.items() if not b.failed])
        except BaseException:
            release()
            raise
        # Who stops waiting stops alone: whoever asks the same waits until it is on disk.
        stored.add_done_callback(release)
        await asyncio.wait([stored])
        stored.result()
        return answers

    def _open(self) -> _InLoop:
        places = asyncio.Semaphore(self.model.concurrency)
        return _InLoop(GroupRead(self._cache.texts), GroupCommit(self._write), places)

    def _settle(self, left: _InLoop) -> None:
        """Keep what still waits for the disk in an event loop that was left."""
        left.commit.write_left()
        failure, left.commit.failure = left.commit.failure, None
        self._failure = self._failure or failure

    def _as_of(self, ballot: Ballot, prompt: Prompt, sample: int) -> Ballot:
        """A ballot, which may have been cast on another utterance of the same words."""
        asked = (prompt.utterance_id, self.name, sample)
        if (ballot.utterance_id, ballot.voter, ballot.sample) == asked:
            return ballot
        return replace(ballot, utterance_id=asked[0], voter=asked[1], sample=asked[2])

    def _write(self, answers: Collection[tuple[str, Ballot]]) -> None:
        self._cache.write(dict(answers))
