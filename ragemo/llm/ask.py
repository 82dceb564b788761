"""Ask many prompts at once, and lose no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ragemo.labels import LabelSet
from ragemo.llm.protocol import LanguageModel
from ragemo.types import Ballot, Prompt

Question = tuple[Prompt, Sequence[int]]
"""A prompt, and the numbers of the samples asked of it."""


def ask_all(
    llm: LanguageModel,
    questions: Sequence[Question],
    labels: LabelSet,
    store: Callable[[Sequence[Ballot]], None],
    advance: Callable[[int], None] = lambda done: None,
) -> None:
    """Ask with as many prompts in flight as the model takes.

    Args:
        llm: who is asked; its connections are closed at the end.
        questions: what is asked, begun in this order.
        labels: the label set.
        store: given the ballots of each prompt as they come; the next prompt waits for it.
        advance: told how many more prompts are answered.

    Raises:
        EndpointError: if no call can succeed; what was answered is stored.
        KeyboardInterrupt: likewise.
    """
    work = _ask_all(llm, questions, labels, store, advance)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    # In a notebook this thread already has an event loop.
    with ThreadPoolExecutor(1) as other_thread:
        other_thread.submit(asyncio.run, work).result()


async def _ask_all(
    llm: LanguageModel,
    questions: Sequence[Question],
    labels: LabelSet,
    store: Callable[[Sequence[Ballot]], None],
    advance: Callable[[int], None],
) -> None:
    waiting: Iterator[Question] = iter(questions)

    async def work() -> None:
        for prompt, samples in waiting:
            store(await llm.ask(prompt, labels, samples))
            advance(1)
            await asyncio.sleep(0)  # a model that never waits would shut Ctrl-C out

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(llm.concurrency, len(questions))):
                group.create_task(work())
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    finally:
        await llm.close()
