"""ragemo's own format: one utterance per line of JSON, object of a JSON list, or row of CSV.

    id                unique
    dialogue_id
    turn              whole number, once per dialogue; gaps allowed
    speaker           may be empty
    text              the text, where there is one
    hypotheses        in JSON an object, ASR system -> text; in CSV one column
                      `hypothesis:SYSTEM` each. `text` is the hypothesis of that name, and at
                      least one of the two is required
    emotion           optional, as are the next ones
    session
    reference         the human transcript of an ASR corpus, never a model's input
    needs_prediction  yes/no or true/false, yes by default; no: context only
    profile           what is known of the speaker, in words: "woman, young"
    scene             where the conversation takes place, in words
    stage             which part of the conversation it belongs to, in words: "complaint"

Any other key or column is an error.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from reprlib import repr as brief
from typing import TYPE_CHECKING, Any

from ragemo.types import Utterance

if TYPE_CHECKING:
    from ragemo.corpus.formats import Record, Source

LABELS: str | None = None
EMOTION = "emotion"
EXPECTS = "JSON lines, a JSON list or CSV with id, dialogue_id, turn, speaker and text"
ONE_TEXT = False

REQUIRED = ("id", "dialogue_id", "turn", "speaker")
OPTIONAL = (
    *("text", "emotion", "session", "reference", "needs_prediction"),
    *("profile", "scene", "stage"),
)

_PREFIX = "hypothesis:"


def recognises(source: Source) -> bool:
    """Whether it has an `id` and a `dialogue_id`, as CSV or as JSON."""
    return isinstance(source.first, tuple | dict) and {"id", "dialogue_id"} <= set(source.first)


def parse(source: Source) -> Iterator[tuple[Record, Utterance]]:
    """See `ragemo.corpus.formats.Format`."""
    if source.path.suffix.lower() == ".jsonl" or source.opening == "{":
        for record in source.json_lines():
            yield record, read_record(record)
    elif source.opening == "[":
        for record in source.json_list():
            yield record, read_record(record)
    else:
        columns = source.first if isinstance(source.first, tuple) else ()
        systems = [column for column in columns if column.startswith(_PREFIX)]
        unknown = set(columns).difference(REQUIRED, OPTIONAL, systems)
        if unknown:
            known = ", ".join((*REQUIRED, *OPTIONAL, f"{_PREFIX}SYSTEM"))
            raise source.error(f"unknown columns: {_listed(unknown)}; known are {known}", line=1)
        for record in source.table(REQUIRED if systems else (*REQUIRED, "text")):
            hypotheses = {name.removeprefix(_PREFIX): record.values[name] for name in systems}
            yield record, _utterance(record, hypotheses, _PREFIX)


def write(utterances: Sequence[Utterance], path: Path) -> str:
    """See `ragemo.corpus.formats.Format`; CSV if the path ends so, else JSON lines."""
    if path.suffix.lower() == ".csv":
        return _csv(utterances)
    return "".join(json.dumps(_row(u), ensure_ascii=False) + "\n" for u in utterances)


def read_record(record: Record) -> Utterance:
    """The utterance of a JSON object; faults go to its source."""
    unknown = set(record.values).difference(REQUIRED, OPTIONAL, ["hypotheses"])
    if unknown:
        known = ", ".join((*REQUIRED, *OPTIONAL, "hypotheses"))
        record.problem(f"unknown keys: {_listed(unknown)}; known are {known}")
    hypotheses = record.values.get("hypotheses", {})
    if not isinstance(hypotheses, dict):
        record.problem(
            f"expected an object, ASR system -> text, found a {type(hypotheses).__name__}",
            "hypotheses",
        )
        hypotheses = {}
    if "text" not in record.values and "hypotheses" not in record.values:
        record.problem("expected a text, or hypotheses, or both", "text")
    return _utterance(record, hypotheses, "hypotheses.")


def _utterance(record: Record, systems: dict[str, Any], prefix: str) -> Utterance:
    record.id = record.name("id")
    if "text" in record.values:
        if "text" in systems:
            record.problem("it is also given as a hypothesis of that name", "text")
        systems = {"text": record.text("text"), **systems}
    needs = "needs_prediction" in record.values
    return Utterance(
        id=record.id,
        dialogue_id=record.name("dialogue_id"),
        turn=record.number("turn"),
        speaker=record.text("speaker"),
        hypotheses=record.hypotheses(systems, prefix),
        session=record.optional("session"),
        reference=record.optional("reference"),
        emotion=record.optional("emotion"),
        needs_prediction=record.flag("needs_prediction") if needs else True,
        profile=record.optional("profile") or "",
        scene=record.optional("scene") or "",
        stage=record.optional("stage") or "",
    )


def _listed(names: set[str]) -> str:
    return ", ".join(brief(name) for name in sorted(names))


def _row(utterance: Utterance) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": utterance.id,
        "dialogue_id": utterance.dialogue_id,
        "turn": utterance.turn,
        "speaker": utterance.speaker,
    }
    others = {name: text for name, text in utterance.hypotheses.items() if name != "text"}
    if "text" in utterance.hypotheses:
        row["text"] = utterance.hypotheses["text"]
    if others or "text" not in row:
        row["hypotheses"] = others
    row["emotion"] = utterance.emotion
    row["session"] = utterance.session
    row["reference"] = utterance.reference
    row["needs_prediction"] = utterance.needs_prediction
    row["profile"] = utterance.profile or None
    row["scene"] = utterance.scene or None
    row["stage"] = utterance.stage or None
    return {key: value for key, value in row.items() if value is not None}


def _csv(utterances: Sequence[Utterance]) -> str:
    rows = []
    for utterance in utterances:
        row = _row(utterance)
        for name, text in row.pop("hypotheses", {}).items():
            row[_PREFIX + name] = text
        row["needs_prediction"] = "yes" if utterance.needs_prediction else "no"
        rows.append(row)
    found = {column for row in rows for column in row}
    systems = sorted(column for column in found if column.startswith(_PREFIX))
    optional = [column for column in OPTIONAL if column in found]
    if not systems and "text" not in found:
        optional.insert(0, "text")
    file = io.StringIO(newline="")
    # The csv module's own line end: a lone carriage return in a text is quoted only with it.
    writer = csv.DictWriter(file, (*REQUIRED, *optional, *systems), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
