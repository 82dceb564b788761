"""The two ways to ask: call by call, or by file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ragemo.errors import RunFolderError, SettingsError
from ragemo.llm.ask import ask_all
from ragemo.llm.batch import BatchOptions
from ragemo.llm.batch.api import BatchApi
from ragemo.llm.batch.courier import Courier
from ragemo.llm.batch.desk import Delivery, Desk
from ragemo.llm.batch.folder import BatchFolder
from ragemo.llm.batch.handover import HandOver
from ragemo.llm.batch.rounds import ask_in_rounds
from ragemo.llm.budget import Budget
from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.protocol import LanguageModel
from ragemo.pipeline.inquiry import SettlingInquiry
from ragemo.progress import Advance, Progress
from ragemo.runs.run import Run
from ragemo.settings import Settings
from ragemo.types import Ballot

Ask = Callable[[Sequence[SettlingInquiry], Advance], None]
"""Asks all that some inquiries need, each answer on disk; told to advance as they are through."""

FOLDER = "batch"
"""Of a run, for what is asked by file."""


def by_call(models: Sequence[LanguageModel], run: Run, progress: Progress) -> Ask:
    """Ask the models one call after the other.

    Raises:
        RunFolderError: if answers of the run are under way in a batch; they would be paid twice.
    """
    if away := BatchFolder(run.path / FOLDER).away:
        raise RunFolderError(
            f"{run.path}: {sum(one.requests for one in away):,} requests of this run were "
            "submitted in a batch; go on with --batch, or they would be asked and paid for twice"
        )

    def ask(inquiries: Sequence[SettlingInquiry], advance: Advance) -> None:
        ask_all(inquiries, models, run.labels, run.append, advance, say=progress.say)

    return ask


def by_file(
    models: Sequence[LanguageModel],
    run: Run,
    settings: Settings,
    how: BatchOptions,
    *,
    cache: AnswerCache | None,
    budget: Budget | None,
    progress: Progress,
) -> Ask:
    """Ask the models round by round, by request files in the run's folder.

    Raises:
        RunFolderError: if what lies there cannot be used.
        SettingsError: if a model is not behind an API, or a budget in dollars is to be kept and its
            price is not known.
    """
    asked = check_by_file(models)
    if budget is not None:
        for model in asked:
            budget.check(model)
    folder = BatchFolder(run.path / FOLDER)
    delivery: Delivery
    if how.files_only or not asked:
        delivery = HandOver(folder)
    else:
        api = BatchApi(asked[0].endpoint, timeout=settings.llm.timeout)
        delivery = Courier(folder, api, wait=how.wait, poll=how.poll, say=progress.say)
    desk = Desk(folder, delivery, run.labels, cache=cache, budget=budget, say=progress.say)

    def store(ballots: Sequence[Ballot]) -> None:
        run.append(ballots)
        folder.heard()

    def ask(inquiries: Sequence[SettlingInquiry], advance: Advance) -> None:
        ask_in_rounds(inquiries, desk, store, advance)

    return ask


def check_by_file(models: Sequence[LanguageModel]) -> list[OpenAIModel]:
    """The models, if all of them can be asked by file.

    Raises:
        SettingsError: naming one that cannot.
    """
    able = [model for model in models if isinstance(model, OpenAIModel)]
    for model in models:
        if model not in able:
            raise SettingsError(
                f"--batch: {model.name} runs here and is not behind an API, so it cannot be asked "
                "by file; leave --batch out, or name a model of an endpoint (--llm, --base-url)"
            )
    return able


def is_away(run: Path) -> bool:
    """Whether an endpoint has, or may have, a batch of a run whose answers are not in it."""
    return bool(BatchFolder(run / FOLDER).away)
