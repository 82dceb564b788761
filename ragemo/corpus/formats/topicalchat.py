"""Topical-Chat (Gopalakrishnan et al., Interspeech 2019), also with real ASR hypotheses.

One JSON object, conversation id -> {"content": [messages]}. A message's sentiment, noted by its
writer, is its emotion. Where a conversation was spoken and recognised (Gopalakrishnan et al.,
Interspeech 2020), the keys `message_asr_A` and `message_asr_B` are the hypotheses `asr_A` and
`asr_B`, and the written message is the reference; elsewhere the message is the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from reprlib import repr as brief
from typing import TYPE_CHECKING, Any

from ragemo.types import Utterance

if TYPE_CHECKING:
    from ragemo.corpus.formats import Record, Source

LABELS: str | None = "topicalchat"
EMOTION = "sentiment"
EXPECTS = "a JSON object of conversations with a list content"
ONE_TEXT = False

_HEARD = "message_asr_"
_PREFIX = "message_"


def recognises(source: Source) -> bool:
    """Whether it is a JSON object whose first value has a `content`."""
    first = source.first
    if source.opening != "{" or not first:
        return False
    conversation = next(iter(first.values()))
    return isinstance(conversation, dict) and "content" in conversation


def parse(source: Source) -> Iterator[tuple[Record, Utterance]]:
    """See `ragemo.corpus.formats.Format`."""
    for conversation, value, position in source.json_object():
        if not isinstance(value, dict) or not isinstance(value.get("content"), list):
            source.problem(
                f"conversation {brief(conversation)} has no list `content`",
                line=source.line(position),
            )
            continue
        content = next(place for key, _, place in source.members(position) if key == "content")
        heard = any(
            key.startswith(_HEARD)
            for message in value["content"]
            if isinstance(message, dict)
            for key in message
        )
        for turn, (_, message, place) in enumerate(source.members(content)):
            if record := source.record(message, source.line(place)):
                yield record, _utterance(record, conversation, turn, heard=heard)


def write(utterances: Sequence[Utterance], path: Path) -> str:
    """See `ragemo.corpus.formats.Format`."""
    dialogues: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        dialogues.setdefault(utterance.dialogue_id, []).append(utterance)
    conversations = {
        dialogue: {"content": _messages(members)} for dialogue, members in dialogues.items()
    }
    return json.dumps(conversations, indent=2, ensure_ascii=False) + "\n"


def _utterance(record: Record, conversation: str, turn: int, *, heard: bool) -> Utterance:
    record.id = f"{record.checked(conversation, 'conversation id')}_{turn:03d}"
    if not conversation.strip():
        record.problem("it is empty", "conversation id")
    hypotheses: Mapping[str, Any] = {
        key.removeprefix(_PREFIX): value
        for key, value in record.values.items()
        if key.startswith(_HEARD)
    }
    message = record.text("message")
    return Utterance(
        id=record.id,
        dialogue_id=conversation,
        turn=turn,
        speaker=record.text("agent"),
        hypotheses=record.hypotheses(hypotheses if heard else {"text": message}),
        reference=message if heard and message.strip() else None,
        emotion=record.optional(EMOTION),
    )


def _messages(utterances: Sequence[Utterance]) -> list[dict[str, str]]:
    written = all(
        set(utterance.hypotheses) == {"text"} and utterance.reference is None
        for utterance in utterances
    )
    unheard = not any(utterance.hypotheses for utterance in utterances)
    messages = []
    for utterance in utterances:
        # A reference without a hypothesis beside it would be read as the text.
        hypotheses = {"text": ""} if unheard else utterance.hypotheses
        message = {
            "message": utterance.hypotheses["text"] if written else utterance.reference or "",
            "agent": utterance.speaker,
        }
        if utterance.emotion is not None:
            message[EMOTION] = utterance.emotion
        if not written:
            for name, text in hypotheses.items():
                message[_HEARD + name.removeprefix("asr_")] = text
        messages.append(message)
    return messages
