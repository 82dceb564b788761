"""EmoryNLP emotion detection (Zahiri and Choi, AffCon 2018): scenes of a television series.

CSV with the columns Utterance, Speaker, Emotion, Scene_ID, Utterance_ID, Season and Episode, as
split by declare-lab; others (times) are not read. `Speaker` is a list as Python writes it. The
written text is the corpus' own, so it is the hypothesis `text` and there is no reference.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from reprlib import repr as brief
from typing import TYPE_CHECKING

from ragemo.types import Utterance

if TYPE_CHECKING:
    from ragemo.corpus.formats import Record, Source

LABELS: str | None = "emorynlp"
EMOTION = "Emotion"
EXPECTS = "CSV with Utterance, Speaker, Emotion, Scene_ID, Utterance_ID, Season and Episode"
ONE_TEXT = True

COLUMNS = ("Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode")

# Not ast.literal_eval: it reads far more than names, and can exhaust the stack on hostile text.
_NAME = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_NAMES = re.compile(rf"\s*\[\s*(?:(?:{_NAME})(?:\s*,\s*(?:{_NAME}))*\s*)?\]\s*", re.DOTALL)

_SCENE = re.compile(r"s(\d{2,9})_e(\d{2,9})_c(\d{2,9})", re.ASCII)


def recognises(source: Source) -> bool:
    """Whether it is CSV with a `Scene_ID` and an `Utterance_ID`."""
    return isinstance(source.first, tuple) and {"Scene_ID", "Utterance_ID"} <= set(source.first)


def parse(source: Source) -> Iterator[tuple[Record, Utterance]]:
    """See `ragemo.corpus.formats.Format`."""
    for record in source.table(COLUMNS):
        season, episode = record.number("Season"), record.number("Episode")
        scene = f"s{season:02d}_e{episode:02d}_c{record.number('Scene_ID'):02d}"
        turn = record.number("Utterance_ID")
        if record.sound:
            record.id = f"{scene}_u{turn:03d}"
        yield (
            record,
            Utterance(
                id=f"{scene}_u{turn:03d}",
                dialogue_id=scene,
                turn=turn,
                speaker=_speakers(record),
                hypotheses={"text": record.text("Utterance")},
                emotion=record.optional("Emotion"),
            ),
        )


def write(utterances: Sequence[Utterance], path: Path) -> str:
    """See `ragemo.corpus.formats.Format`.

    Dialogues not called `s01_e02_c03` become scenes of season 1, episode 1.
    """
    dialogues = dict.fromkeys(utterance.dialogue_id for utterance in utterances)
    places = {dialogue: _place(dialogue) for dialogue in dialogues}
    if not all(places.values()):
        places = {dialogue: (1, 1, scene) for scene, dialogue in enumerate(dialogues, 1)}
    file = io.StringIO(newline="")
    rows = csv.writer(file)
    rows.writerow(COLUMNS)
    for utterance in utterances:
        season, episode, scene = places[utterance.dialogue_id] or (1, 1, 1)
        rows.writerow(
            (
                utterance.hypotheses["text"],
                _python_list(utterance.speaker.split(", ") if utterance.speaker else []),
                utterance.emotion or "",
                scene,
                utterance.turn,
                season,
                episode,
            )
        )
    return file.getvalue()


def _speakers(record: Record) -> str:
    text = record.text("Speaker")
    if not _NAMES.fullmatch(text):
        record.problem(
            f"expected a list of names as in ['Ross Geller'], found {brief(text)}", "Speaker"
        )
    names = (name[1:-1] for name in re.findall(_NAME, text, re.DOTALL))
    return ", ".join(re.sub(r"\\(.)", r"\1", name, flags=re.DOTALL) for name in names)


def _python_list(names: Sequence[str]) -> str:
    """The names as Python writes a list, but for escapes of characters that are no text."""
    quoted = []
    for name in names:
        quote = '"' if "'" in name and '"' not in name else "'"
        quoted.append(quote + re.sub(rf"([\\{quote}])", r"\\\1", name) + quote)
    return f"[{', '.join(quoted)}]"


def _place(dialogue: str) -> tuple[int, int, int] | None:
    """Season, episode and scene of a dialogue id that this module wrote."""
    match = _SCENE.fullmatch(dialogue)
    if not match:
        return None
    season, episode, scene = (int(number) for number in match.groups())
    same = dialogue == f"s{season:02d}_e{episode:02d}_c{scene:02d}"
    return (season, episode, scene) if same else None
