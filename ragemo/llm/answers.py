"""From what a model says to a label, strictly.

| answer | read as |
| --- | --- |
| a spelling of a label in any case (`joy`, `Happy.`, `**joy**`, `"joy"`) | that label |
| `label:`, `emotion:` or `answer:` before it, or `the emotion is` | that label |
| a JSON object with one value that is a spelling (`{"label": "joy"}`), in a code block or not; only its closing brace may be cut off | that label |
| a label, then a line break, full stop, comma, colon, dash or bracket and more words; no other label in its first line, or at the beginning of a later one | that label |
| any of these after a thought (`<think>...</think>`) | that label |
| anything else: two labels, a negation (`joy: no`, `joy: 0 %`), another emotion, an unfinished thought, an empty answer | no label |

An answer that is no label is an invalid ballot; it is counted and shown, and never replaced.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ragemo.labels import LabelSet

_LEAD = re.compile(
    r"^\W*(?:the\s+)?(?:label|emotion|answer)[\s*_\"'`]*(?:\bis\b\s*[:=]?|[:=])\s*", re.IGNORECASE
)
_REST = re.compile(r"[.,;:!()\[\]{}–—]|\s-\s|-{2,}")
_FENCE = re.compile(r"```\w*\n")
_DENIED = re.compile(
    r"\W*(?:no|none|false|absent|0(?:\.0*)?|not(?: (?:present|detected|expressed|applicable))?)\W*",
    re.IGNORECASE,
)
_BULLET = re.compile(r"\W*(?:\d+[.)]\W*)?")
_SPELLING = re.compile(r"[^\W_](?:.*[^\W_])?", re.DOTALL)
_WORD = re.compile(r"[^\W_]+")
_BLANKS = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class FoundLabel:
    """A label and where an answer says it.

    Attributes:
        name: the label's name.
        start, end: the places in the answer of its spelling's first letter or digit, and past
            its last.
    """

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A key of a JSON object, its value, and the places in the text where the value is written."""

    key: str
    value: Any
    start: int
    end: int


def without_thinking(answer: str) -> str:
    """What an answer says after its thoughts, where a server leaves them in it.

    Some chat templates open the thought in the prompt, so that only its end is in the answer.
    """
    _, closed, rest = answer.rpartition("</think>")
    if not closed and answer.lstrip().startswith("<think>"):
        return ""
    return rest.strip()


def read_label(answer: str, labels: LabelSet) -> str | None:
    """The label's name that an answer gives, or None (see the module's table)."""
    found = find_label(answer, labels)
    return None if found is None else found.name


def find_label(answer: str, labels: LabelSet) -> FoundLabel | None:
    """The label that an answer gives, and where; or None (see the module's table)."""
    text, start = undressed(answer)
    if text.startswith("{"):
        pairs = read_object(text)
        return found_in(pairs[0], text, start, labels) if len(pairs) == 1 else None
    if lead := _LEAD.match(text):
        start += lead.end()
        text = text[lead.end() :]
    if whole := labels.find(text):
        return found_at(whole, text, start)
    line = text.lstrip("*_`\"' \n")
    start += len(text) - len(line)
    first_line, *later_lines = line.split("\n")
    head = _head(first_line)
    label = labels.find(head)
    if label is None:
        return None
    rest = first_line[len(head) :]
    heads = {_head(_LEAD.sub("", _BULLET.sub("", later, count=1))) for later in set(later_lines)}
    others = (_mentioned(rest, labels) | {labels.find(later) for later in heads}) - {None, label}
    denied = _DENIED.fullmatch(rest) and labels.find(rest) != label  # "neutral (none)"
    return None if others or denied else found_at(label, head, start)


def _head(line: str) -> str:
    """What stands before the first mark that may end a label."""
    return _REST.split(line, maxsplit=1)[0]


def _mentioned(text: str, labels: LabelSet) -> set[str | None]:
    """The labels among the words of a text, as many of them at a time as a label has."""
    words = _WORD.findall(text)
    longest = max(
        len(_WORD.findall(spelling))
        for label in labels
        for spelling in (label.name, label.word, *label.aliases)
    )
    groups = {
        "".join(words[first : first + count])
        for count in range(1, longest + 1)
        for first in range(len(words) - count + 1)
    }
    return {labels.find(group) for group in groups}


def undressed(answer: str) -> tuple[str, int]:
    """An answer without thoughts, blanks and code fences around it, and where it then begins."""
    text = without_thinking(answer)
    start = len(answer.rstrip()) - len(text)
    if fence := _FENCE.match(text):
        block = text[fence.end() :].removesuffix("```").rstrip()
        text = block.lstrip()
        start += fence.end() + len(block) - len(text)
    return text, start


def read_object(text: str) -> list[Pair]:
    """The pairs of a JSON object of which at most the closing brace was cut off.

    Pairs, not a dict, which would hide that a key came twice, and where a value stands.

    Args:
        text: begins with the opening brace and has no blanks at its end.

    Returns:
        [] if it is no such object, or an empty one.
    """
    pairs: list[Pair] = []
    place = _past_blanks(text, 1)
    try:
        while text[place] == '"':
            key, place = _DECODER.raw_decode(text, place)
            place = _past_blanks(text, place)
            if text[place] != ":":
                return []
            start = _past_blanks(text, place + 1)
            value, end = _DECODER.raw_decode(text, start)
            pairs.append(Pair(key, value, start, end))
            place = _past_blanks(text, end)
            if place == len(text) or (text[place] == "}" and place + 1 == len(text)):
                return pairs
            if text[place] != ",":
                return []
            place = _past_blanks(text, place + 1)
    except (ValueError, IndexError, RecursionError):
        pass
    return []


def found_in(pair: Pair, text: str, start: int, labels: LabelSet) -> FoundLabel | None:
    """The label that a value of a JSON object spells, if it does.

    Args:
        pair: from `read_object`.
        text: what it was read from.
        start: where the text begins in the answer.
        labels: the label set.
    """
    name = labels.find(pair.value) if isinstance(pair.value, str) else None
    if name is None:
        return None
    return found_at(name, text[pair.start + 1 : pair.end - 1], start + pair.start + 1)


def found_at(name: str, text: str, start: int) -> FoundLabel:
    """The label that a piece of an answer spells; the piece begins at `start`."""
    spelling = _SPELLING.search(text)
    first, last = spelling.span() if spelling else (0, len(text))
    return FoundLabel(name, start + first, start + last)


def _past_blanks(text: str, place: int) -> int:
    blanks = _BLANKS.match(text, place)
    return blanks.end() if blanks else place
