"""Utterances that are already in memory, read into a corpus.

They come as what scikit-learn calls X: texts, a data frame, or mappings, one an utterance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any

from ragemo.labels import LabelSet
from ragemo.types import Corpus, Dialogue, Utterance

COLUMNS = ("text", "dialogue", "turn", "speaker")

SOURCE = "text"
"""Names the one transcript that an utterance has here."""

ONE_CORPUS = ""
"""Stands for the hash of a file, the same for every X: equal dialogue ids are then the same
dialogue, as in one file, and voters that learned from it are fitted anew without it."""


@dataclass(frozen=True, slots=True)
class Row:
    """An utterance of X.

    Attributes:
        text: what was said.
        dialogue: its id; None: the utterance is a dialogue of its own.
        turn: its place in the dialogue; None: they come in order.
        speaker: who said it, or "".
    """

    text: str
    dialogue: str | None = None
    turn: int | None = None
    speaker: str = ""


def read_rows(table: Any) -> list[Row]:
    """The utterances of X in its order, at least one.

    Args:
        table: a sequence of texts; or a pandas data frame or a sequence of mappings, with `text`
            and maybe `dialogue`, `turn` and `speaker`.

    Raises:
        ValueError: naming the row that cannot be used.
    """
    if isinstance(table, str):
        raise ValueError("X is one text; expected a sequence of texts: put it in a list")
    if isinstance(table, Mapping):
        raise ValueError("X is one mapping; expected a data frame, or a list of mappings")
    if hasattr(table, "columns") and hasattr(table, "to_dict"):
        if "text" not in table.columns:
            raise ValueError(f"X has no column `text`; its columns are {list(table.columns)}")
        known = table[[name for name in COLUMNS if name in table.columns]]
        records = known.astype(object).where(known.notna(), None).to_dict("records")
    elif getattr(table, "ndim", 1) != 1:
        raise ValueError(
            f"X has {table.ndim} dimensions; expected a sequence of texts, a data frame, or a "
            "list of mappings with `text`"
        )
    else:
        records = list(table)
    if not records:
        raise ValueError("X has 0 samples; a minimum of 1 is required")
    rows = [_read_row(record, number) for number, record in enumerate(records)]
    for name in ("dialogue", "turn"):
        missing = [getattr(row, name) is None for row in rows]
        if any(missing) and not all(missing):
            raise ValueError(f"X, row {missing.index(True)}: no `{name}`, and other rows have one")
    if rows[0].turn is not None and rows[0].dialogue is None:
        raise ValueError("X has `turn` and no `dialogue` in which it would be counted")
    return rows


def _read_row(record: Any, number: int) -> Row:
    given = record if isinstance(record, Mapping) else {"text": record}
    text, dialogue, turn, speaker = (given.get(name) for name in COLUMNS)
    if not isinstance(text, str):
        raise ValueError(f"X, row {number}: expected a text, found {text!r}")
    if turn is not None and not (isinstance(turn, Real) and float(turn).is_integer()):
        raise ValueError(f"X, row {number}: turn is {turn!r}, expected a whole number")
    if isinstance(dialogue, float) and dialogue.is_integer():
        dialogue = int(dialogue)  # whole numbers become floats in a column with gaps
    return Row(
        str(text),
        None if dialogue is None else str(dialogue),
        None if turn is None else round(float(turn)),
        "" if speaker is None else str(speaker),
    )


def corpus_of_rows(
    rows: Sequence[Row], labels: LabelSet, role: str, gold: Sequence[str | None]
) -> Corpus:
    """The utterances as dialogues, which come in the order of their first rows.

    Args:
        rows: the utterances.
        labels: the label set.
        role: begins the ids of utterances ("fit 0", "fit 1", ...) and those of dialogues that have
            none, so that those of one X are not those of another.
        gold: of each row its label, or None.

    Raises:
        ValueError: if a turn comes twice in a dialogue.
    """
    members: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        name = f"{role} {number}" if row.dialogue is None else row.dialogue
        members.setdefault(name, []).append(number)
    dialogues = []
    for name, numbers in members.items():
        numbers.sort(key=lambda number: rows[number].turn or 0)
        for one, other in pairwise(numbers):
            if rows[one].turn is not None and rows[one].turn == rows[other].turn:
                raise ValueError(
                    f"X, rows {one} and {other}: both are turn {rows[one].turn} of dialogue "
                    f"{name!r}"
                )
        dialogues.append(
            Dialogue(
                name,
                tuple(
                    Utterance(
                        id=f"{role} {number}",
                        dialogue_id=name,
                        turn=place,
                        speaker=rows[number].speaker,
                        hypotheses={SOURCE: rows[number].text},
                        emotion=gold[number],
                        row=number,
                    )
                    for place, number in enumerate(numbers)
                ),
            )
        )
    return Corpus(tuple(dialogues), labels, "X", Path("X"), ONE_CORPUS)
