"""Language models are asked by the workers of a cluster, and answers are kept here.

A worker loads its models, or opens its connections, once. Keys are not sent to workers: Ray would
keep them with what it knows of the job. Each node has them in its own environment.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.llm import load_llm, load_others
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.protocol import LanguageModel
from ragemo.llm.wrapped import WrappedModel
from ragemo.pipeline.cluster.connection import Cluster, awaited
from ragemo.pipeline.cluster.pace import Limiter, SharedPace
from ragemo.settings import Settings
from ragemo.types import Ballot, Prompt

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

AT_ONCE = 10_000
"""Calls that an actor may have begun; how many it has is decided elsewhere."""


@dataclass(frozen=True)
class Answered:
    """What a worker says.

    Attributes:
        ballots: see `LanguageModel.ask`.
        remarks, shares_prompt: the model's, as far as this worker knows by now.
    """

    ballots: Sequence[Ballot]
    remarks: tuple[str, ...]
    shares_prompt: bool


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


class Asker:
    """An actor that asks a run's language models; it loads them when it is first asked to."""

    def __init__(self) -> None:
        self._models: list[LanguageModel] = []
        self._loading = asyncio.Lock()

    async def ask(
        self,
        job: list[ObjectRef],
        place: int,
        prompt: Prompt,
        labels: LabelSet,
        samples: Sequence[int],
    ) -> Answered:
        """Ask one of the models.

        Args:
            job: reference to a `Job`, in a list, so that it does not come with every call.
            place: of the model among those of the run.
            prompt, labels, samples: see `LanguageModel.ask`.
        """
        async with self._loading:
            if not self._models:
                self._models = _loaded(await job[0])
        model = self._models[place]
        ballots = await model.ask(prompt, labels, samples)
        return Answered(ballots, model.remarks, model.shares_prompt)


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


class ClusterModel(WrappedModel):
    """A language model that the workers of a cluster ask.

    Args:
        model: the same one here, which counts and names, and is not asked.
        place: of the model among those of the run.
        workers: `Asker`s.
        job: reference to a `Job`.
        busy: calls of each worker that are under way; of all models together.
    """

    def __init__(
        self,
        model: LanguageModel,
        place: int,
        workers: Sequence[ActorHandle],
        job: ObjectRef,
        busy: Counter[int],
    ) -> None:
        super().__init__(model)
        self._place = place
        self._workers = workers
        self._job = [job]
        self._busy = busy
        self._shares = model.shares_prompt
        self._remarks: dict[int, tuple[str, ...]] = {}

    @property
    def concurrency(self) -> int:
        """The endpoint's, whoever asks it; of a model that runs on the workers, that of all."""
        here = self.model.concurrency
        return here if isinstance(self.model, OpenAIModel) else here * len(self._workers)

    @property
    def shares_prompt(self) -> bool:
        """See `LanguageModel`; as the worker knew that answered last."""
        return self._shares

    @property
    def remarks(self) -> tuple[str, ...]:
        """See `LanguageModel`; of all workers, each once."""
        return tuple(dict.fromkeys(said for own in self._remarks.values() for said in own))

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel`; the worker with the fewest calls asks."""
        number = min(range(len(self._workers)), key=lambda worker: self._busy[worker])
        self._busy[number] += 1
        try:
            answered: Answered = await awaited(
                self._workers[number].ask.remote(
                    self._job, self._place, prompt, labels, list(samples)
                )
            )
        finally:
            self._busy[number] -= 1
        self._shares = answered.shares_prompt
        self._remarks[number] = answered.remarks
        return list(answered.ballots)

    async def close(self) -> None:
        """Nothing is open here; what workers opened ends with them."""


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
    limiter = (
        ray.remote(Limiter)
        .options(
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=AT_ONCE,
            scheduling_strategy=here,  # it is lost only together with the run
        )
        .remote()
    )
    job = ray.put(Job(settings, [model.identity for model in models], limiter))
    try:
        with cluster.actors(Asker, max_concurrency=AT_ONCE) as workers:
            busy: Counter[int] = Counter()
            yield [ClusterModel(one, place, workers, job, busy) for place, one in enumerate(models)]
    finally:
        ray.kill(limiter)
