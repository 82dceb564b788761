"""How a local model takes a dialogue: as one text in its chat format, cut into tokens."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from ragemo.errors import ModelError
from ragemo.types import Message


class ChatFormat:
    """The format that came with a model; without one, messages are lines.

    Args:
        name: of the model, for errors.
        tokenizer: of transformers.
    """

    def __init__(self, name: str, tokenizer: Any) -> None:
        self._name = name
        self._tokenizer = tokenizer
        self._tokenizing = threading.Lock()
        self._takes_system = True
        try:
            self.text([Message("system", "."), Message("user", ".")])
        except ModelError:  # as Gemma 2's does
            self._takes_system = False

    @property
    def lead(self) -> str:
        """What stands before an answer."""
        return "" if self._tokenizer.chat_template else " "

    def taken(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages; without one from the system where the format knows none.

        What it says then stands at the beginning of the first message from the user.
        """
        if self._takes_system or messages[0].role != "system":
            return messages
        system, *rest = messages
        if not rest or rest[0].role != "user":
            return [Message("user", system.content), *rest]
        return [Message("user", f"{system.content}\n\n{rest[0].content}"), *rest[1:]]

    def text(self, messages: Sequence[Message], *, answer: bool = True) -> str:
        """The messages as one text, with the opening of the answer if `answer`.

        Raises:
            ModelError: if the format refuses them.
        """
        if not self._tokenizer.chat_template:
            return "".join(f"{message.content}\n" for message in messages)
        chat = [
            {"role": message.role, "content": message.content} for message in self.taken(messages)
        ]
        try:
            text: str = self._tokenizer.apply_chat_template(
                chat, add_generation_prompt=answer, tokenize=False
            )
        except Exception as error:  # a program that came with the model
            roles = ", ".join(message["role"] for message in chat)
            raise ModelError(
                f"the chat format of {self._name!r} refuses messages from {roles}: {error}; "
                "choose another template (--template), or a model whose format takes them"
            ) from None
        return text

    def openings(self, messages: Sequence[Message], text: str) -> list[str]:
        """The text's beginnings that prompts share: the first message, and all but the last."""
        found: list[str] = []
        for count in sorted({1, len(messages) - 1} - {0, len(messages)}):
            try:
                opening = self.text(messages[:count], answer=False)
            except ModelError:  # a format that takes no part of a dialogue
                break
            if not text.startswith(opening):  # a format that looks ahead
                break
            found.append(opening)
        return found

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text."""
        with self._tokenizing:  # a tokenizer may not be used by two threads at once
            tokens: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens
