"""Who asks language models on a cluster.

Keys are not sent to workers: Ray would keep them with what it knows of the job. Each node has them
in its own environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ragemo.errors import RagemoError, SettingsError
from ragemo.llm import load_llm, load_others
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.protocol import LanguageModel
from ragemo.pipeline.cluster.feed import Call
from ragemo.pipeline.cluster.pace import SharedPace
from ragemo.pipeline.cluster.stages import ITEM, Row, taken
from ragemo.settings import Settings
from ragemo.types import Ballot

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle


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


@dataclass(frozen=True)
class Answered:
    """What a worker says.

    Attributes:
        number: of the call.
        ballots: see `LanguageModel.ask`; or why there are none.
        worker: who says it.
        remarks, answers_per_call: the model's, as far as this worker knows by now.
    """

    number: int
    ballots: Sequence[Ballot] | RagemoError
    worker: str = ""
    remarks: tuple[str, ...] = ()
    answers_per_call: int = 1


@dataclass(frozen=True)
class Returned:
    """What became of them, in the same order; see `Sent`."""

    answered: Sequence[Answered]
    is_last: bool


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
        return Answered(call.number, ballots, self._name, model.remarks, model.answers_per_call)


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
