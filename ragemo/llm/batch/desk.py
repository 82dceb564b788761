"""What of a round is known already, what has to be asked, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from ragemo.errors import PendingError, SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.batch.folder import MOST_BYTES, BatchFolder, Shipment
from ragemo.llm.batch.hearing import Found, Listener, Step, with_shared_keys
from ragemo.llm.batch.lines import DIGITS, custom_id, parts_of, request_line
from ragemo.llm.budget import Amount, Budget
from ragemo.llm.keeping.answer_cache import AnswerCache, answer_key
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.protocol import LanguageModel
from ragemo.llm.replies import Reply
from ragemo.llm.requests import Call
from ragemo.types import Ballot, Prompt, Usage


class Delivery(Protocol):
    """Whoever takes request files away and brings what came of them."""

    async def deliver(self) -> list[Shipment]:
        """Come back when nothing in the folder is open; what was brought."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True)
class NamedCall:
    """A call under its `custom_id`, for a step."""

    name: str
    step: Step
    call: Call


class Desk:
    """Answers a round of steps: from the cache, from what lies in the folder, by asking.

    Args:
        folder: of the run.
        delivery: takes request files away.
        labels: the label set.
        cache: answers of other runs; new ones are kept there. None: no cache.
        budget: a round that could exceed it is not asked for.
        say: told in words what came.
        most_bytes: of a request file.
    """

    def __init__(
        self,
        folder: BatchFolder,
        delivery: Delivery,
        labels: LabelSet,
        *,
        cache: AnswerCache | None = None,
        budget: Budget | None = None,
        say: Callable[[str], None] = lambda line: None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._folder = folder
        self._delivery = delivery
        self._labels = labels
        self._cache = cache
        self._budget = budget
        self._listener = Listener(folder, labels, say)
        self._most_bytes = most_bytes
        self._given: set[str] = set()  # keys whose ballot a step has got
        self._full: dict[str, str] = {}  # what stands in a custom_id -> the whole key
        names = (name for one in folder.shipments for name in folder.custom_ids(one))
        self._reach = max((n for _, n in filter(None, map(parts_of, names))), default=1)

    async def ask(
        self, wanted: Sequence[tuple[LanguageModel, Prompt, Sequence[int]]]
    ) -> list[list[Ballot]]:
        """The ballots of each step, in the order of its samples; see `LanguageModel.ask`.

        A step is one call, made again until it has brought something or failed for good. What it
        left out is not asked for.

        Raises:
            PendingError: if the answers are not there yet.
            BudgetError: if what is to be asked could exceed the budget.
            EndpointError: if the endpoint cannot be used or accepts no batch.
            RunFolderError: if the folder or the cache cannot be used.
        """
        steps = with_shared_keys([self._step(*one) for one in wanted])
        known = self._known(steps)
        found = Found(dict(known))
        asked = [
            replace(step, samples=missing)
            for step in steps
            if (missing := [n for n in step.samples if step.keys[n] not in known])
        ]
        under_way = self._listener.hear(asked, found)
        while True:
            calls = self._missing(asked, found, under_way)
            if not calls and not any(one.is_open for one in self._folder.shipments):
                break
            under_way = await self._fetch(asked, found, calls)
        if self._cache:
            self._cache.write(
                {
                    self._full[key]: ballot
                    for key, ballot in found.ballots.items()
                    if key not in known and key in self._full
                }
            )
        return [
            [
                self._ballot(step, sample, found)
                for sample in step.samples
                if found.settles(step.keys[sample])
            ]
            for step in steps
        ]

    async def _fetch(
        self, steps: Sequence[Step], found: Found, calls: Sequence[NamedCall]
    ) -> set[str]:
        """Ask by file, and for what is under way; the keys that are so still."""
        most = cost = _most(calls)
        token = await self._budget.begin(most) if self._budget else None
        before = _paid(steps, found)
        try:
            self._write(calls)
            brought = await self._delivery.deliver()
            under_way = self._listener.hear(steps, found)
            cost = _paid(steps, found).plus(before, -1)
        finally:
            if self._budget:
                self._budget.end(token, cost)
        cancelled = [one.batch for one in brought if one.status == "cancelled"]
        missing = sum(not found.settles(step.lead) for step in steps)
        if cancelled and missing:  # who cancels a batch does not want it submitted again at once
            raise PendingError(
                f"batch {', '.join(cancelled)} was cancelled; {missing:,} calls are not answered. "
                "The same command with --resume submits them again"
            )
        return under_way

    async def close(self) -> None:
        """Let go of connections."""
        await self._delivery.close()

    def _step(self, model: LanguageModel, prompt: Prompt, samples: Sequence[int]) -> Step:
        if not isinstance(model, OpenAIModel):
            raise SettingsError(f"{model.name} is not behind an API, so it cannot be asked by file")
        keys: dict[int, str] = {}
        for sample in range(max(samples[0] - self._reach + 1, 0), samples[0]):
            keys[sample] = answer_key(model, prompt, self._labels, sample)[:DIGITS]
        for sample in samples:
            key = answer_key(model, prompt, self._labels, sample)
            keys[sample] = key[:DIGITS]
            self._full[key[:DIGITS]] = key
        return Step(model, prompt, samples, keys)

    def _known(self, steps: Sequence[Step]) -> dict[str, Ballot]:
        """What the cache has."""
        if self._cache is None:
            return {}
        keys = [self._full[step.keys[sample]] for step in steps for sample in step.samples]
        known = self._cache.read(keys, self._labels)
        return {key[:DIGITS]: replace(one, from_cache=True) for key, one in known.items()}

    def _ballot(self, step: Step, sample: int, found: Found) -> Ballot:
        key, target = step.keys[sample], step.prompt.utterance_id
        if key in found.ballots:
            known = found.ballots[key]
            # Steps that ask the very same share one request, and its tokens count once.
            known = replace(known, from_cache=known.from_cache or key in self._given)
            self._given.add(key)
            return replace(known, utterance_id=target, voter=step.model.name, sample=sample)
        error = found.failed.get(key) or (
            f"submitted {found.tries[key]} times without an answer: {found.reasons.get(key, '')}"
        )
        # It bears the tokens of replies that could not be used; steps that ask the very same, once.
        wasted = [] if key in self._given else found.wasted.get(key, [])
        self._given.add(key)
        usage = _usage_of(wasted, step.model)
        return Ballot(target, step.model.name, sample, error=error, usage=usage)

    def _missing(self, steps: Sequence[Step], found: Found, under_way: set[str]) -> list[NamedCall]:
        """The calls of steps that have not come, have not failed and are not under way."""
        taken = set(under_way)
        calls = []
        for step in steps:
            missing = [
                sample
                for sample in step.samples
                if not found.settles(key := step.keys[sample]) and key not in taken
            ]
            if not missing or missing[0] != step.samples[0]:
                continue  # it came, or is under way
            call = step.model.call(step.prompt, self._labels, missing)
            taken.update(step.of(step.samples[0], call.n))
            calls.append(NamedCall(custom_id(step.lead, call.n), step, call))
        return calls

    def _write(self, calls: Sequence[NamedCall]) -> None:
        """Put calls into request files, each of one model."""
        by_model: dict[int, list[NamedCall]] = {}
        for one in calls:
            self._reach = max(self._reach, one.call.n)
            by_model.setdefault(id(one.step.model), []).append(one)
        for own in by_model.values():
            model = own[0].step.model
            able = asdict(model.capabilities)
            for lines in self._parts(own):
                self._folder.write(lines, model.name, able)

    def _parts(self, calls: Sequence[NamedCall]) -> Iterator[list[bytes]]:
        """Lines of requests, as many together as a file may hold."""
        lines: list[bytes] = []
        size = 0
        for one in calls:
            line = request_line(one.name, one.call.request)
            if len(line) > self._most_bytes:
                raise SettingsError(
                    f"the request about utterance {one.step.prompt.utterance_id!r} has "
                    f"{len(line):,} bytes, and a batch file may have {self._most_bytes:,}; lower "
                    "prompt.max_tokens"
                )
            if lines and (
                len(lines) >= self._folder.most_requests or size + len(line) > self._most_bytes
            ):
                yield lines
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        if lines:
            yield lines


def _most(calls: Iterable[NamedCall]) -> Amount:
    """The most that calls may cost."""
    total = Amount()
    for one in calls:
        model, prompt, n = one.step.model, one.step.prompt, one.call.n
        back = n * model.most_answer_tokens(prompt.form)
        dollars = model.price(prompt.tokens, back, batch=True) or 0.0
        total = total.plus(Amount(n, prompt.tokens + back, dollars))
    return total


def _paid(steps: Iterable[Step], found: Found) -> Amount:
    """What all that came did cost.

    A reply that could not be used counts by itself until a ballot bears its tokens.
    """
    models = {key: step.model for step in steps for key in step.keys.values()}
    usages = [(1, ballot.usage) for ballot in found.ballots.values()]
    usages += [(0, _usage_of(replies, models[key])) for key, replies in found.wasted.items()]
    total = Amount()
    for answers, usage in usages:
        tokens = usage.prompt_tokens + usage.answer_tokens
        total = total.plus(Amount(answers, tokens, usage.cost or 0.0))
    return total


def _usage_of(wasted: Sequence[Reply], model: OpenAIModel) -> Usage:
    """The tokens and the cost of replies that could not be used."""
    (usage,) = Reply.unusable(wasted).usages(model.list_price, 0.0, batch=True)
    return usage
