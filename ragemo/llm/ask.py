"""Ask about many utterances at once, and lose no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, Protocol

from ragemo.garbage import seldom_collected
from ragemo.labels import LabelSet
from ragemo.llm.group_commit import GroupCommit
from ragemo.llm.protocol import LanguageModel
from ragemo.types import Ballot, Prompt

LAST_CALLS = 10.0
"""Seconds that calls under way have left once something failed: their answers may be paid for."""


class Inquiry(Protocol):
    """All that is asked about one utterance, one step after the other."""

    def next(self) -> tuple[LanguageModel, Prompt, Sequence[int]] | None:
        """Who is asked what, and the numbers of the samples; None: nothing more."""
        ...

    def hear(self, ballots: Sequence[Ballot]) -> Sequence[Ballot]:
        """Take the answers in; what is given back is what shall be stored."""
        ...


def ask_all(
    inquiries: Sequence[Inquiry],
    models: Sequence[LanguageModel],
    labels: LabelSet,
    store: Callable[[Sequence[Ballot]], None],
    advance: Callable[[int], None] = lambda done: None,
) -> None:
    """Go on with as many utterances at once as the models take.

    Args:
        inquiries: begun in this order; the steps of one wait for each other.
        models: who is asked; their connections are closed at the end.
        labels: the label set.
        store: puts ballots on disk, in another thread. The next step of an inquiry waits for it,
            and it is given at once the ballots of all steps that are waiting.
        advance: told how many more inquiries are through.

    Raises:
        Exception: what a model or `store` raised, such as an EndpointError if no call can
            succeed. What was answered is stored, calls under way included.
        KeyboardInterrupt: what was answered is stored.
    """
    with seldom_collected():
        run_through(_ask_all(inquiries, models, labels, store, advance))


def run_through(work: Coroutine[Any, Any, None]) -> None:
    """Come back when some asynchronous work is done, from wherever this is called."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    # In a notebook this thread already has an event loop.
    with ThreadPoolExecutor(1) as other_thread:
        other_thread.submit(asyncio.run, work).result()


async def _ask_all(
    inquiries: Iterable[Inquiry],
    models: Sequence[LanguageModel],
    labels: LabelSet,
    store: Callable[[Sequence[Ballot]], None],
    advance: Callable[[int], None],
) -> None:
    waiting: Iterator[Inquiry] = iter(inquiries)
    # One model may take fewer prompts at once than another.
    places = {id(model): asyncio.Semaphore(model.concurrency) for model in models}
    commit = GroupCommit(store)
    failures: list[Exception] = []

    async def work() -> None:
        for inquiry in waiting:
            while (step := inquiry.next()) is not None:
                llm, prompt, samples = step
                async with places[id(llm)]:
                    if failures:
                        return
                    ballots = await llm.ask(prompt, labels, samples)
                await commit.add(inquiry.hear(ballots))
                if failures:
                    return
            advance(1)

    async def work_until_something_fails() -> None:
        try:
            await work()
        except Exception as error:
            failures.append(error)
            asyncio.get_running_loop().call_later(LAST_CALLS, give_up)

    def give_up() -> None:
        for worker in workers:
            worker.cancel()

    async with AsyncExitStack() as afterwards:
        for model in models:
            afterwards.push_async_callback(model.close)
        afterwards.push_async_callback(commit.finish)
        async with asyncio.TaskGroup() as group:
            # Twice as many as may ask, so that all of those ask while others wait for the disk.
            workers = [
                group.create_task(work_until_something_fails())
                for _ in range(2 * max((model.concurrency for model in models), default=0))
            ]
        if failures:
            raise failures[0]
