"""Language models are asked in a stage of Ray Data, and answers are kept here.

    feed    an actor on this machine: calls that are to be made
    read    tasks here that take calls from it, as they come
    ask     a pool of actors that have loaded the models, or opened their connections, once

The stage lasts as long as the run, so that models are loaded once although what is asked next
depends on the answers. Ray Data takes some milliseconds for whatever it hands on; so where calls
queue up, several travel together, and twice as many as an endpoint takes are on their way.

Keys are not sent to workers: Ray would keep them with what it knows of the job. Each node has them
in its own environment.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ragemo.errors import RagemoError, SettingsError
from ragemo.labels import LabelSet
from ragemo.llm import load_llm, load_others
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.protocol import LanguageModel
from ragemo.llm.wrapped import WrappedModel
from ragemo.pipeline.cluster.connection import Cluster
from ragemo.pipeline.cluster.pace import Limiter, SharedPace
from ragemo.pipeline.cluster.stages import ITEM, Row, Stage, taken, through
from ragemo.settings import Settings
from ragemo.types import Ballot, Prompt

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

READERS = 2
"""Tasks that take calls from the feed; Ray Data takes few items of each at once."""

TOGETHER = 8
"""Calls that travel together at most. One that is answered waits for the others of its item."""

SHARE = 4
"""The part of those that queue up that travels together, as a divisor."""

CALLERS = 10_000
"""That may wait for the feed, or for the limiter, at once."""

ENDING = 10.0
"""Seconds that the stage has to end."""


@dataclass(frozen=True)
class Call:
    """Something to ask.

    Attributes:
        number: of the call.
        place: of the model among those of the run.
        prompt, labels, samples: see `LanguageModel.ask`.
    """

    number: int
    place: int
    prompt: Prompt
    labels: LabelSet
    samples: Sequence[int]


@dataclass(frozen=True)
class Answered:
    """What a worker says.

    Attributes:
        number: of the call.
        ballots: see `LanguageModel.ask`; or why there are none.
        worker: who says it.
        remarks, shares_prompt: the model's, as far as this worker knows by now.
    """

    number: int
    ballots: Sequence[Ballot] | RagemoError
    worker: str = ""
    remarks: tuple[str, ...] = ()
    shares_prompt: bool = False


@dataclass(frozen=True)
class Sent:
    """Calls that travel together.

    Attributes:
        calls: in the order in which they came up.
        is_last: whether there are no more.
    """

    calls: Sequence[Call]
    is_last: bool = False


@dataclass(frozen=True)
class Returned:
    """What became of them, in the same order; see `Sent`."""

    answered: Sequence[Answered]
    is_last: bool


@dataclass(frozen=True)
class Job:
    """What workers ask by.

    Attributes:
        settings: of the run.
        identities: of the models, as the run's manifest has them.
        limiter: a `Limiter`.
    """

    settings: Settings
    identities: Sequence[dict[str, Any]]
    limiter: ActorHandle


class Feed:
    """An actor that gives each call to one of the readers.

    A reader that was lost and begins anew is given the same once more, as far as it is not
    answered: what it had handed on by then, Ray Data does not take from it again.
    """

    def __init__(self) -> None:
        self._calls: dict[int, Call] = {}  # not known to be answered
        self._waiting: list[int] = []
        self._given: defaultdict[int, list[Sequence[int]]] = defaultdict(list)
        self._ended = False
        self._changed = asyncio.Condition()

    async def put(self, call: Call, answered: Sequence[int] = ()) -> None:
        """One more; and which of those before are answered since the last time."""
        for number in answered:
            self._calls.pop(number, None)
        async with self._changed:
            self._calls[call.number] = call
            self._waiting.append(call.number)
            self._changed.notify()

    async def end(self) -> None:
        """There will be no more."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def take(self, reader: int, place: int) -> Sent:
        """What a reader hands on, once it is there; the more calls wait, the more at once.

        Args:
            reader: its number.
            place: how many it has taken since it began.
        """
        given = self._given[reader]
        if place == len(given):
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting or self._ended)
                some = min(TOGETHER, ceil(len(self._waiting) / SHARE))
                given.append(self._waiting[:some])
                self._waiting = self._waiting[some:]
        calls = [self._calls[number] for number in given[place] if number in self._calls]
        return Sent(calls, is_last=not given[place])


class Asker:
    """An actor that asks a run's language models; it loads them when it is first asked to.

    Args:
        job: reference to a `Job`, in a list, for else it would come with every actor.
    """

    def __init__(self, job: Sequence[ObjectRef]) -> None:
        self._reference = job
        self._models: list[LanguageModel] = []
        self._loading = asyncio.Lock()
        self._name = uuid4().hex

    async def __call__(self, row: Row) -> Row:
        """`Sent` becomes `Returned`; an error stays what it is."""
        sent = row[ITEM]
        if isinstance(sent, RagemoError):
            return {ITEM: sent}
        answered = await asyncio.gather(*map(self._answered, sent.calls))
        return {ITEM: Returned(answered, sent.is_last)}

    async def _answered(self, call: Call) -> Answered:
        try:
            async with self._loading:
                if not self._models:
                    self._models = _loaded(taken(self._reference))
            model = self._models[call.place]
            ballots = await model.ask(call.prompt, call.labels, call.samples)
        except RagemoError as error:
            return Answered(call.number, error)
        return Answered(call.number, ballots, self._name, model.remarks, model.shares_prompt)


def _loaded(job: Job) -> list[LanguageModel]:
    """The models of a job, at the pace of all workers.

    Raises:
        SettingsError: if they are others here, or a key is missing.
        ModelError: if one cannot be loaded.
    """
    import ray

    first = load_llm(job.settings.llm, seed=job.settings.seed)
    models = [model for model in (first, *load_others(job.settings)) if model is not None]
    for model, wanted in zip(models, job.identities, strict=True):
        if model.identity != wanted:
            differ = [key for key in wanted if model.identity.get(key) != wanted[key]]
            raise SettingsError(
                f"a worker of the cluster would ask another {model.name} than this run does "
                f"({', '.join(differ)} differ); give --base-url, or set OPENAI_BASE_URL alike on "
                "every machine"
            )
        if isinstance(model, OpenAIModel):
            worker = ray.get_runtime_context().get_actor_id()
            connection = model.connection
            connection.shared_pace = SharedPace(
                job.limiter, worker, model.endpoint.url, connection.limits
            )
    return models


class Answering:
    """The stage, and what is on its way through it.

    Args:
        feed: a `Feed`.
        returned: what comes out of the stage; it is begun with the first call.
    """

    def __init__(self, feed: ActorHandle, returned: Generator[Returned]) -> None:
        self._feed = feed
        self._returned = returned
        self._numbers = count()
        self._waiting: dict[int, Future[Answered]] = {}
        self._over: list[int] = []
        self._failure: BaseException | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)

    async def ask(
        self, place: int, prompt: Prompt, labels: LabelSet, samples: Sequence[int]
    ) -> Answered:
        """See `Call`.

        Raises:
            Exception: why nothing can be asked any more.
        """
        number = next(self._numbers)
        answered = self._waiting[number] = Future()
        try:
            if self._failure is not None:
                raise self._failure
            if not number:
                self._listener.start()
            call = Call(number, place, prompt, labels, list(samples))
            over, self._over = self._over, []
            self._feed.put.remote(call, over)
            return await asyncio.wrap_future(answered)
        finally:
            del self._waiting[number]
            self._over.append(number)

    def end(self) -> None:
        """Nothing more is asked; calls under way are left."""
        self._feed.end.remote()
        if self._listener.ident is not None:
            self._listener.join(ENDING)

    def _listen(self) -> None:
        try:
            with closing(self._returned):
                for returned in self._returned:
                    for one in returned.answered:
                        self._hand_over(one)
                    if returned.is_last:
                        break
        except Exception as error:  # whatever it is, somebody waits to hear of it
            self._failure = error
            for waiting in [*self._waiting.values()]:
                if waiting.set_running_or_notify_cancel():
                    waiting.set_exception(error)

    def _hand_over(self, answered: Answered) -> None:
        waiting = self._waiting.get(answered.number)
        if waiting is not None and waiting.set_running_or_notify_cancel():
            waiting.set_result(answered)


class ClusterModel(WrappedModel):
    """A language model that the workers of a cluster ask.

    Args:
        model: the same one here, which counts and names, and is not asked.
        place: of the model among those of the run.
        concurrency: calls that are made or on their way.
        answering: how it is asked.
    """

    def __init__(
        self, model: LanguageModel, place: int, concurrency: int, answering: Answering
    ) -> None:
        super().__init__(model)
        self._place = place
        self._concurrency = concurrency
        self._answering = answering
        self._shares = model.shares_prompt
        self._remarks: dict[str, tuple[str, ...]] = {}

    @property
    def concurrency(self) -> int:
        """See `LanguageModel`."""
        return self._concurrency

    @property
    def shares_prompt(self) -> bool:
        """See `LanguageModel`; as the worker knew that answered last."""
        return self._shares

    @property
    def remarks(self) -> tuple[str, ...]:
        """See `LanguageModel`; of all workers, each once."""
        return tuple(dict.fromkeys(said for own in self._remarks.values() for said in own))

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel`; a worker asks."""
        answered = await self._answering.ask(self._place, prompt, labels, samples)
        if isinstance(answered.ballots, RagemoError):
            raise answered.ballots
        self._shares = answered.shares_prompt
        self._remarks[answered.worker] = answered.remarks
        return list(answered.ballots)

    async def close(self) -> None:
        """Nothing is open here; what workers opened ends with them."""


def _on_their_way(model: LanguageModel, workers: int) -> int:
    """Calls that are begun at once: twice those that are made, as the others are on their way.

    An endpoint takes as many as it does, whoever asks it; a model that runs on the workers, as many
    as all of them do.
    """
    here = model.concurrency
    return 2 * (here if isinstance(model, OpenAIModel) else here * workers)


@contextmanager
def asked_by(
    cluster: Cluster, models: Sequence[LanguageModel], settings: Settings
) -> Iterator[list[ClusterModel]]:
    """The models of a run, asked by a cluster; its workers end with the block.

    Args:
        cluster: who asks.
        models: `load_llm` and `load_others` of the settings.
        settings: of the run.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options = {"num_cpus": 0, "max_concurrency": CALLERS, "scheduling_strategy": here}
    limiter = ray.remote(Limiter).options(max_restarts=-1, max_task_retries=-1, **options).remote()
    feed = ray.remote(Feed).options(**options).remote()

    def read(reader: int) -> Iterator[Sent]:
        for place in count():
            sent: Sent = ray.get(feed.take.remote(reader, place))
            yield sent
            if sent.is_last:
                return

    job = Job(settings, [model.identity for model in models], limiter)
    on_their_way = [_on_their_way(model, cluster.workers) for model in models]
    ahead = sum(on_their_way) + READERS  # they end with an item each
    returned = through(
        read,
        [Stage(job, Asker, ahead, ahead)],
        actors=cluster.workers,
        readers=READERS,
    )
    answering = Answering(feed, returned)
    try:
        yield [
            ClusterModel(model, place, concurrency, answering)
            for place, (model, concurrency) in enumerate(zip(models, on_their_way, strict=True))
        ]
    finally:
        answering.end()
        for actor in (feed, limiter):
            ray.kill(actor)
