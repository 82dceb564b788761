"""GenSEC Challenge Task 3 (SLT 2024): post-ASR speech emotion recognition.

One flat JSON list of utterances in conversation order:

    need_prediction  "yes": one of the scored classes; "no": context only
    emotion          a label; another emotion's code on "no"; absent or blank: unknown
    id               the dialogue, "_", a letter and a number: Ses01F_script03_2_F027
    speaker
    groundtruth      the human transcript, never a model's input; may be absent
    any other key    the hypothesis of the ASR system of that name

Source: https://github.com/YuanGongND/llm_speech_emotion_challenge (task, baseline and rules).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ragemo.types import Utterance

if TYPE_CHECKING:
    from ragemo.corpus.formats import Record, Source

LABELS: str | None = "gensec"
EMOTION = "emotion"
EXPECTS = "a JSON list of objects with need_prediction and id"
ONE_TEXT = False

FIELDS = ("need_prediction", "emotion", "id", "speaker", "groundtruth")

# IEMOCAP also has ids that end in _FXX1.
_ID = re.compile(r"(?P<dialogue>.+)_[A-Za-z](XX)?[0-9]+", re.DOTALL)
_SESSION = re.compile(r"Ses[0-9]{2}")


def recognises(source: Source) -> bool:
    """Whether it is a JSON list whose first object has a `need_prediction`."""
    first = source.first
    return source.opening == "[" and isinstance(first, dict) and "need_prediction" in first


def parse(source: Source) -> Iterator[tuple[Record, Utterance]]:
    """See `ragemo.corpus.formats.Format`."""
    turns: Counter[str] = Counter()
    for record in source.json_list():
        record.id = record.name("id")
        match = _ID.fullmatch(record.id)
        if record.sound and not match:
            record.problem(
                "expected the dialogue, '_', a letter and a number, as in Ses01F_script03_2_F027",
                "id",
            )
        dialogue = match["dialogue"] if match else ""
        session = _SESSION.match(record.id)
        others = {name: value for name, value in record.values.items() if name not in FIELDS}
        yield (
            record,
            Utterance(
                id=record.id,
                dialogue_id=dialogue,
                turn=turns[dialogue],
                speaker=record.text("speaker"),
                hypotheses=record.hypotheses(others),
                session=session[0] if session else None,
                reference=record.optional("groundtruth"),
                emotion=record.optional("emotion"),
                needs_prediction=record.flag("need_prediction"),
            ),
        )
        turns[dialogue] += 1


def regroup_as_baseline(utterances: Iterable[Utterance]) -> Iterator[Utterance]:
    """The dialogues as the official baseline cuts them, by `id[:6]`, so `Ses01F`.

    They run across unrelated conversations: of use only to reproduce the baseline's figures.
    """
    turns: Counter[str] = Counter()
    for utterance in utterances:
        dialogue = utterance.id[:6]
        yield replace(utterance, dialogue_id=dialogue, turn=turns[dialogue])
        turns[dialogue] += 1


def write(utterances: Sequence[Utterance], path: Path) -> str:
    """See `ragemo.corpus.formats.Format`; ids of another shape become `{dialogue}_U{turn}`."""
    keep = all(
        (match := _ID.fullmatch(utterance.id)) and match["dialogue"] == utterance.dialogue_id
        for utterance in utterances
    )
    rows = []
    for utterance in utterances:
        row = {
            "need_prediction": "yes" if utterance.needs_prediction else "no",
            "emotion": utterance.emotion or "",
            "id": utterance.id if keep else f"{utterance.dialogue_id}_U{utterance.turn:03d}",
            "speaker": utterance.speaker,
        }
        if utterance.reference is not None:
            row["groundtruth"] = utterance.reference
        for name, text in utterance.hypotheses.items():
            if name not in FIELDS:
                row[name] = text
        rows.append(row)
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
