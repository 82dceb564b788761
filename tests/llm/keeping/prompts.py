"""Prompts whose answers are kept, and how a model is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ragemo.labels import load_labels
from ragemo.llm.keeping.cached_model import CachedModel
from ragemo.types import Ballot, Message, Prompt, Turn, Window

LABELS = load_labels("gensec")


def prompt(
    text: str = "hello", utterance: str = "u1", form: str = "label", said: str = "hello"
) -> Prompt:
    """A prompt that says a text, about an utterance that was said."""
    turn = Turn(utterance, "d", 0, "A", None, said, "asr")
    return Prompt(utterance, (Message("user", text),), 3, form=form, window=Window((turn,)))


def ask(model: CachedModel, *questions: tuple[Prompt, Sequence[int]]) -> list[list[Ballot]]:
    """The answers to each prompt, with the samples asked for, all at once."""

    async def everything() -> list[list[Ballot]]:
        return await asyncio.gather(*(model.ask(p, LABELS, samples) for p, samples in questions))

    return asyncio.run(everything())
