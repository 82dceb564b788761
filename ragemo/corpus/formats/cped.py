"""CPED (Chen et al., 2022, https://arxiv.org/abs/2205.14727): Chinese television dialogues.

CSV as published in https://github.com/scutcyr/CPED. Of its columns these are read:

    TV_ID         the show, taken as the session
    Dialogue_ID   27_000
    Utterance_ID  the dialogue, "_" and the number of the turn: 27_000_003
    Speaker       those without a name are all called 其他 (others)
    Gender, Age, Neuroticism, Extraversion, Openness, Agreeableness, Conscientiousness
                  what is known of the speaker, as the profile: "female, young; high
                  neuroticism, low openness"
    Scene         home, office, car, ...
    Emotion       one of 13
    Utterance     the written text, so it is the hypothesis `text`; there is no reference

What is "unknown" is left out. Sentiment and dialogue act (DA) are people's labels of the same
utterance and would give its emotion away; they are not read, nor are the places of faces.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ragemo.types import Utterance

if TYPE_CHECKING:
    from ragemo.corpus.formats import Record, Source

LABELS: str | None = "cped"
EMOTION = "Emotion"
EXPECTS = "CSV with TV_ID, Dialogue_ID, Utterance_ID, Speaker, Gender, ..., Emotion and Utterance"
ONE_TEXT = True

TRAITS = ("Neuroticism", "Extraversion", "Openness", "Agreeableness", "Conscientiousness")
PERSON = ("Gender", "Age", *TRAITS)
COLUMNS = (
    *("TV_ID", "Dialogue_ID", "Utterance_ID", "Speaker"),
    *PERSON,
    *("Scene", "Emotion", "Utterance"),
)

_UNKNOWN = "unknown"
_WORDS = {
    **dict.fromkeys(("female", "male"), "Gender"),
    **dict.fromkeys(("children", "teenager", "young", "middle-aged", "elderly"), "Age"),
    **{f"{level} {trait.lower()}": trait for level in ("high", "low") for trait in TRAITS},
}
"""Word of a profile -> its column."""


def recognises(source: Source) -> bool:
    """Whether it is CSV with a `TV_ID` and an `Utterance_ID`."""
    return isinstance(source.first, tuple) and {"TV_ID", "Utterance_ID"} <= set(source.first)


def parse(source: Source) -> Iterator[tuple[Record, Utterance]]:
    """See `ragemo.corpus.formats.Format`."""
    for record in source.table(COLUMNS):
        record.id = record.name("Utterance_ID")
        dialogue = record.name("Dialogue_ID")
        turn = re.fullmatch("_([0-9]{1,9})", record.id.removeprefix(dialogue))
        if record.sound and not turn:
            record.problem(
                "expected the Dialogue_ID, '_' and the number of the turn, as in 27_000_003",
                "Utterance_ID",
            )
        yield (
            record,
            Utterance(
                id=record.id,
                dialogue_id=dialogue,
                turn=int(turn[1]) if turn else 0,
                speaker=record.text("Speaker"),
                hypotheses={"text": record.text("Utterance")},
                session=record.optional("TV_ID"),
                emotion=record.optional("Emotion"),
                profile=_in_words({column: _known(record, column) for column in PERSON}),
                scene=_known(record, "Scene"),
            ),
        )


def write(utterances: Sequence[Utterance], path: Path) -> str:
    """See `ragemo.corpus.formats.Format`; ids of another shape become `{dialogue}_{turn}`."""
    keep = all(
        (turn := re.fullmatch("_([0-9]{1,9})", u.id.removeprefix(u.dialogue_id)))
        and int(turn[1]) == u.turn
        for u in utterances
    )
    file = io.StringIO(newline="")
    rows = csv.DictWriter(file, COLUMNS, restval=_UNKNOWN)
    rows.writeheader()
    for utterance in utterances:
        own = f"{utterance.dialogue_id}_{utterance.turn:03d}"
        rows.writerow(
            {
                "TV_ID": utterance.session or "",
                "Dialogue_ID": utterance.dialogue_id,
                "Utterance_ID": utterance.id if keep else own,
                "Speaker": utterance.speaker,
                **_columns(utterance.profile),
                "Scene": utterance.scene or _UNKNOWN,
                "Emotion": utterance.emotion or "",
                "Utterance": utterance.hypotheses["text"],
            }
        )
    return file.getvalue()


def _known(record: Record, column: str) -> str:
    text = record.optional(column) or ""
    return "" if text.strip().lower() == _UNKNOWN else text


def _in_words(person: Mapping[str, str]) -> str:
    """Column -> value, as a profile."""
    who = [person[column] for column in ("Gender", "Age")]
    traits = [person[trait] and f"{person[trait]} {trait.lower()}" for trait in TRAITS]
    return "; ".join(filter(None, (", ".join(filter(None, part)) for part in (who, traits))))


def _columns(profile: str) -> dict[str, str]:
    """Column -> value, of a profile that this module wrote; of any other, nothing."""
    words = re.split("[,;] ", profile)
    return {_WORDS[word]: word.split()[0] for word in words if word in _WORDS}
