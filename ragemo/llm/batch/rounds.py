"""Ask about all utterances at once, round after round, and lose no answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ragemo.llm.ask import Inquiry
from ragemo.llm.batch.desk import Desk
from ragemo.llm.event_loop import run_through
from ragemo.llm.protocol import LanguageModel
from ragemo.types import Ballot, Prompt


class FarsightedInquiry(Inquiry, Protocol):
    """An inquiry that knows more than its next step, where that does not depend on answers."""

    def ahead(self) -> tuple[LanguageModel, Prompt, Sequence[int]] | None:
        """A further step that is needed whatever the answers to the last one say; None: none is."""
        ...


def ask_in_rounds(
    inquiries: Sequence[FarsightedInquiry],
    desk: Desk,
    store: Callable[[Sequence[Ballot]], None],
    advance: Callable[[int], None] = lambda done: None,
) -> None:
    """Take the next step of every inquiry together, until none needs anything.

    Args:
        inquiries: about one utterance each.
        desk: answers a round.
        store: puts the ballots of a round on disk before it returns.
        advance: told how many more inquiries are through.

    Raises:
        PendingError: if a round's answers are not there yet; going on later asks nothing again.
        EndpointError: if the endpoint cannot be used or accepts no batch.
        KeyboardInterrupt: likewise; what was submitted goes on at the endpoint.
    """
    run_through(_ask_in_rounds(inquiries, desk, store, advance))


async def _ask_in_rounds(
    inquiries: Sequence[FarsightedInquiry],
    desk: Desk,
    store: Callable[[Sequence[Ballot]], None],
    advance: Callable[[int], None],
) -> None:
    going = list(inquiries)
    try:
        while True:
            steps = {
                number: [first, *iter(inquiry.ahead, None)]
                for number, inquiry in enumerate(going)
                if (first := inquiry.next()) is not None
            }
            advance(len(going) - len(steps))
            if not steps:
                return
            going = [going[number] for number in steps]
            answers = iter(await desk.ask([step for own in steps.values() for step in own]))
            store(
                [
                    ballot
                    for inquiry, own in zip(going, steps.values(), strict=True)
                    for ballot in inquiry.hear([b for _ in own for b in next(answers)])
                ]
            )
    finally:
        await desk.close()
