"""MELD (Poria et al., ACL 2019): multi-party dialogues of a television series.

CSV with the columns Utterance, Speaker, Emotion, Dialogue_ID and Utterance_ID; others (times,
season, episode, sentiment) are not read. The written text is the corpus' own, so it is the
hypothesis `text` and there is no reference.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ragemo.types import Utterance

if TYPE_CHECKING:
    from ragemo.corpus.formats import Record, Source

LABELS: str | None = "meld"
EMOTION = "Emotion"
EXPECTS = "CSV with Utterance, Speaker, Emotion, Dialogue_ID and Utterance_ID"
ONE_TEXT = True

COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")

# Some copies were once read as Latin-1: quotes and dashes of Windows-1252 stand in them as
# control characters, which no dialogue has.
_REPAIRS = {code: bytes([code]).decode("cp1252") for code in (0x85, *range(0x91, 0x98))}

_DIALOGUE = re.compile(r"dia(0|[1-9][0-9]{0,8})")


def recognises(source: Source) -> bool:
    """Whether it is CSV with a `Dialogue_ID` and an `Utterance_ID`."""
    return isinstance(source.first, tuple) and {"Dialogue_ID", "Utterance_ID"} <= set(source.first)


def parse(source: Source) -> Iterator[tuple[Record, Utterance]]:
    """See `ragemo.corpus.formats.Format`."""
    for record in source.table(COLUMNS):
        dialogue = f"dia{record.number('Dialogue_ID')}"
        turn = record.number("Utterance_ID")
        if record.sound:
            record.id = f"{dialogue}_utt{turn}"
        yield (
            record,
            Utterance(
                id=f"{dialogue}_utt{turn}",
                dialogue_id=dialogue,
                turn=turn,
                speaker=record.text("Speaker").translate(_REPAIRS),
                hypotheses={"text": record.text("Utterance").translate(_REPAIRS)},
                emotion=record.optional("Emotion"),
            ),
        )


def write(utterances: Sequence[Utterance], path: Path) -> str:
    """See `ragemo.corpus.formats.Format`; dialogues not called `dia7` are numbered from 0."""
    dialogues = dict.fromkeys(utterance.dialogue_id for utterance in utterances)
    matches = [_DIALOGUE.fullmatch(dialogue) for dialogue in dialogues]
    numbers = {
        dialogue: match[1] if match and all(matches) else str(number)
        for number, (dialogue, match) in enumerate(zip(dialogues, matches, strict=True))
    }
    file = io.StringIO(newline="")
    rows = csv.writer(file)
    rows.writerow(("Sr No.", *COLUMNS))
    for number, utterance in enumerate(utterances, 1):
        rows.writerow(
            (
                number,
                utterance.hypotheses["text"],
                utterance.speaker,
                utterance.emotion or "",
                numbers[utterance.dialogue_id],
                utterance.turn,
            )
        )
    return file.getvalue()
