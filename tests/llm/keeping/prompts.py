"""Prompts whose answers are kept."""

from __future__ import annotations

from ragemo.labels import load_labels
from ragemo.types import Message, Prompt, Turn, Window

LABELS = load_labels("gensec")


def prompt(
    text: str = "hello", utterance: str = "u1", form: str = "label", said: str = "hello"
) -> Prompt:
    """A prompt that says a text, about an utterance that was said."""
    turn = Turn(utterance, "d", 0, "A", None, said, "asr")
    return Prompt(utterance, (Message("user", text),), 3, form=form, window=Window((turn,)))
