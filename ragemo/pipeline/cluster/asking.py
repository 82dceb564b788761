"""Language models are asked in a stage of Ray Data, and answers are kept here.

    feed    an actor on this machine: calls that are to be made
    read    tasks here that take calls from it, as they come
    ask     a pool of actors that have loaded the models, or opened their connections, once

The stage lasts as long as the run, so that models are loaded once although what is asked next
depends on the answers. Ray Data takes some milliseconds for whatever it hands on; so where calls
queue up, several travel together, and twice as many as an endpoint takes are on their way.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from itertools import count
from typing import TYPE_CHECKING

from ragemo.errors import RagemoError
from ragemo.labels import LabelSet
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.protocol import LanguageModel
from ragemo.llm.wrapped import WrappedModel
from ragemo.pipeline.cluster.asker import Answered, Asker, Job, Returned
from ragemo.pipeline.cluster.connection import Cluster
from ragemo.pipeline.cluster.feed import Call, Feed, Sent
from ragemo.pipeline.cluster.pace import Limiter
from ragemo.pipeline.cluster.stages import Stage, through
from ragemo.settings import Settings
from ragemo.types import Ballot, Prompt

if TYPE_CHECKING:
    from ray.actor import ActorHandle

READERS = 2
"""Tasks that take calls from the feed; Ray Data takes few items of each at once."""

CALLERS = 10_000
"""That may wait for the feed, or for the limiter, at once."""

ENDING = 10.0
"""Seconds that the stage has to end."""


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
        self._answers_per_call = model.answers_per_call
        self._remarks: dict[str, tuple[str, ...]] = {}

    @property
    def concurrency(self) -> int:
        """See `LanguageModel`."""
        return self._concurrency

    @property
    def answers_per_call(self) -> int:
        """See `LanguageModel`; as the worker knew that answered last."""
        return self._answers_per_call

    @property
    def remarks(self) -> tuple[str, ...]:
        """See `LanguageModel`; of all workers, each once."""
        return tuple(dict.fromkeys(said for own in self._remarks.values() for said in own))

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel`; a worker asks."""
        answered = await self._answering.ask(self._place, prompt, labels, samples)
        if isinstance(answered.ballots, RagemoError):
            raise answered.ballots
        self._answers_per_call = answered.answers_per_call
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

    # Not softly, which is anywhere for what takes no core: they may be lost with the run alone.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {
        "num_cpus": 0,
        "max_concurrency": CALLERS,
        "max_task_retries": -1,
        "scheduling_strategy": here,
    }
    limiter = ray.remote(Limiter).options(max_restarts=-1, **options).remote()
    feed = ray.remote(Feed).options(**options).remote()  # what it holds is lost with it

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
