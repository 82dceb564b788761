"""From what a model says to a label and what it says beside it, by the form that was asked for.

| form | keys of the JSON object | what their values may be |
| --- | --- | --- |
| `label` | | see `ragemo.llm.answers` |
| `labels` | `labels` | a list of one or more labels, none of them twice |
| `rated` | `label`, `intensity` | a label; a whole number from 0 to 3 |
| | `valence`, `arousal` | numbers from -1 to 1 |
| `reasoned` | `label`, `reasons` | a label; a text |
| `repaired` | `label`, `transcript` | a label; a text |
| `translated` | `label`, `translation` | a label; a text |
| `cause` | `label`, `cause` | a label; a whole number |
| `evidence` | `label`, `evidence` | a label; a text |

An answer of the forms other than `label` is read so:

| answer | read as |
| --- | --- |
| a JSON object with these keys, each once, in any order, and no others | its labels and details |
| a spelling of one label and nothing else | that label, without details |
| either in a code block, or after a thought (`<think>...</think>`) | likewise |
| an object of which only the closing brace was cut off | likewise |
| a key too many, too few or twice, a wrong type, a number out of its range | no label |
| words around the object, an object cut off earlier, and anything else | no label |

Labels may be spelled in any way that the label set knows, in any case.

Two details are compared with the turns that were shown, and the label counts whatever comes of
it. `cause` counts the shown turns from 1, the target last; it becomes the turn's utterance id, or
null if no turn has that number. `evidence` is looked for in each shown text, case and punctuation
aside; `found` says whether it is the whole of one, or two or more words that stand there in a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ragemo.corpus.words import words
from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.answers import FoundLabel, find_label, found_at, found_in, read_object, undressed
from ragemo.llm.protocol import ModelOutline
from ragemo.prompting.forms import FORMS
from ragemo.types import Distribution, Turn, Window

INTENSITIES = (0, 1, 2, 3)
"""None, low, moderate, high (Mohammad et al., SemEval-2018 task 1, 2018)."""

LONGEST_TEXT = 2_000
"""Characters of a text that are kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer says.

    Attributes:
        distribution: all on its label, or evenly on its labels; None if it gives none.
        details: what it says beside the label, ready for JSON, in the form's order.
        label: the one label and where the answer says it; None if it gives none, or a list.
    """

    distribution: Distribution | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    label: FoundLabel | None = None


def check_form(model: ModelOutline, form: str) -> None:
    """Whether a model can give answers of a form.

    Raises:
        SettingsError: if it scores labels and answers nothing else.
    """
    if model.exact and form != "label":
        raise SettingsError(
            f"the template asks for answers of the form {form!r}, but {model.name} only scores "
            "labels: let it answer with --mode sample, or choose another template"
        )


def read_answer(
    answer: str,
    form: str,
    labels: LabelSet,
    window: Window | None,
    further: Sequence[str] = (),
) -> Answer:
    """What an answer of a form says (see the module's tables); an invalid one says nothing.

    Args:
        answer: as raw as it came.
        form: one of `FORMS`.
        labels: the label set.
        window: the turns that were shown; None if it is not known which.
        further: other texts of the conversation that were shown.
    """
    if form == "label":
        return _of_label(find_label(answer, labels), labels)
    text, start = undressed(answer)
    if not text.startswith("{"):
        name = labels.find(text)
        return _of_label(found_at(name, text, start) if name else None, labels)
    listed = read_object(text)
    pairs = {pair.key: pair for pair in listed}
    keys = FORMS[form].properties
    if len(listed) != len(keys) or set(pairs) != set(keys):
        return Answer()
    details: dict[str, Any] = {}
    turns = () if window is None else window.turns
    for key in keys:
        value = pairs[key].value
        if key == "label":
            continue
        if key == "evidence":
            read = _read_evidence(value, [*(turn.text for turn in turns), *further])
        else:
            read = _read_detail(key, value, labels, turns)
        if read is None:
            return Answer()
        details |= read
    if names := details.get("labels"):
        shares = tuple((name in names) / len(names) for name in labels.names)
        return Answer(shares, details)
    return _of_label(found_in(pairs["label"], text, start, labels), labels, details)


def _of_label(
    label: FoundLabel | None, labels: LabelSet, details: Mapping[str, Any] | None = None
) -> Answer:
    return Answer() if label is None else Answer(labels.one_hot(label.name), details or {}, label)


def _read_evidence(value: Any, said: Sequence[str]) -> dict[str, Any] | None:
    text = _text_of(value)
    return None if text is None else {"evidence": text, "found": _was_said(text, said)}


def _text_of(value: Any) -> str | None:
    """A text as it is kept; None if it is none."""
    if not isinstance(value, str):
        return None
    # JSON may hold half of a surrogate pair, which UTF-8 cannot.
    return value.strip()[:LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")


def _read_detail(
    key: str, value: Any, labels: LabelSet, turns: Sequence[Turn]
) -> dict[str, Any] | None:
    """What the value of a key tells; None if it is none."""
    if key == "labels":
        return _read_labels(value, labels)
    if key == "intensity":
        return {key: value} if _is_whole(value) and value in INTENSITIES else None
    if key in ("valence", "arousal"):
        fits = _is_whole(value) or isinstance(value, float)
        return {key: float(value)} if fits and -1 <= value <= 1 else None
    if key == "cause":
        return {key: _turn_of(value, turns)} if _is_whole(value) else None
    text = _text_of(value)
    return None if text is None else {key: text}


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_labels(value: Any, labels: LabelSet) -> dict[str, Any] | None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    found = {labels.find(item) for item in value}
    if not value or None in found or len(found) < len(value):
        return None
    return {"labels": [name for name in labels.names if name in found]}


def _turn_of(number: int, turns: Sequence[Turn]) -> str | None:
    """The utterance id of a shown turn by its number, from 1."""
    return turns[number - 1].utterance_id if 1 <= number <= len(turns) else None


def _was_said(quote: str, texts: Sequence[str]) -> bool:
    quoted = words(quote)
    for text in texts:
        said = words(text)
        if quoted and quoted == said:
            return True
        if len(quoted) > 1 and f" {' '.join(quoted)} " in f" {' '.join(said)} ":
            return True
    return False
