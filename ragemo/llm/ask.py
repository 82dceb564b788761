"""Ask about many utterances at once, and lose no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Protocol

from ragemo.garbage import seldom_collected
from ragemo.labels import LabelSet
from ragemo.llm.budget import BudgetError
from ragemo.llm.event_loop import run_through
from ragemo.llm.keeping.group_commit import GroupCommit
from ragemo.llm.protocol import LanguageModel
from ragemo.llm.sending.pace import stop_paces
from ragemo.types import Ballot, Prompt

LAST_CALLS = 10.0
"""Seconds that calls under way have left once something failed or the user interrupted: their
answers are paid for."""

SETTLING = 1.0
"""Seconds in which what has landed is read and stored, and what runs here may end."""


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
    *,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Go on with as many utterances at once as the models take.

    Once something failed or the user interrupted, no call is begun. Calls under way at an endpoint
    are waited for, and their answers stored.

    Args:
        inquiries: begun in this order; the steps of one wait for each other.
        models: who is asked; their connections are closed at the end.
        labels: the label set.
        store: puts ballots on disk, in another thread. The next step of an inquiry waits for it,
            and it is given at once the ballots of all steps that are waiting.
        advance: told how many more inquiries are through.
        say: told in words what an interrupted user waits for.

    Raises:
        Exception: what a model or `store` raised, such as an EndpointError if no call can
            succeed.
        KeyboardInterrupt: at the first one; a second one waits for nothing.
    """
    with seldom_collected():
        run_through(_ask_all(inquiries, models, labels, store, advance, say=say))


async def _ask_all(
    inquiries: Iterable[Inquiry],
    models: Sequence[LanguageModel],
    labels: LabelSet,
    store: Callable[[Sequence[Ballot]], None],
    advance: Callable[[int], None],
    *,
    say: Callable[[str], None],
) -> None:
    waiting: Iterator[Inquiry] = iter(inquiries)
    # One model may take fewer prompts at once than another.
    places = {id(model): asyncio.Semaphore(model.concurrency) for model in models}
    commit = GroupCommit(store)
    failures: list[BaseException] = []

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
            # What waits for its turn is within the budget. Else no more is paid for: a disk may be
            # full, which then keeps nothing.
            if not isinstance(error, BudgetError):
                stop_paces()
            asyncio.get_running_loop().call_later(LAST_CALLS, give_up)

    def give_up() -> None:
        stop_paces()  # so that who still waits for a turn knows that nothing of it was sent
        for worker in workers:
            worker.cancel()

    async with AsyncExitStack() as afterwards:
        for model in models:
            afterwards.push_async_callback(model.close)
        afterwards.push_async_callback(commit.finish)
        # Twice as many as may ask, so that all of those ask while others wait for the disk.
        workers = [
            asyncio.create_task(work_until_something_fails())
            for _ in range(2 * max((model.concurrency for model in models), default=0))
        ]
        try:
            await _all_done(workers)
        except asyncio.CancelledError as interrupt:
            failures.append(interrupt)
            await _let_land(workers, say)
            raise
        finally:
            give_up()
            await _all_done(workers)
        if failures:
            raise failures[0]


async def _all_done(workers: Collection[asyncio.Task[None]], timeout: float | None = None) -> None:
    """Come back when all have ended, however they did, or after so many seconds."""
    if workers:
        done, _ = await asyncio.wait(workers, timeout=timeout)
        for worker in done:
            worker.cancelled() or worker.exception()  # which is in `failures`, or an interrupt


async def _let_land(workers: Collection[asyncio.Task[None]], say: Callable[[str], None]) -> None:
    """Begin no more calls, and give those under way the time to end and to be stored."""
    paces = stop_paces()
    if flying := sum(pace.concurrency.flying for pace in paces):
        with suppress(OSError):  # whoever listened may be interrupted, too
            say(
                f"interrupted; calls under way: {flying}. Their answers are paid for, so they are "
                f"waited for, {LAST_CALLS:g} s at most (Ctrl-C again: not at all)"
            )
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_CALLS):
            for pace in paces:
                await pace.landed()
    await _all_done(workers, SETTLING)
