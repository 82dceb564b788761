"""From what a model says to a label, strictly.

| answer | read as |
| --- | --- |
| a spelling of a label in any case (`joy`, `Happy.`, `**joy**`, `"joy"`) | that label |
| `label:`, `emotion:` or `answer:` before it, or `the emotion is` | that label |
| a JSON object with one value that is a spelling (`{"label": "joy"}`), in a code block or not; only its closing brace may be cut off | that label |
| a label, then a line break, full stop, comma, colon, dash or bracket and more words, and no other label in its first line | that label |
| any of these after a thought (`<think>...</think>`) | that label |
| anything else: two labels, a negation, another emotion, an unfinished thought, an empty answer | no label |

An answer that is no label is an invalid ballot; it is counted and shown, and never replaced.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ragemo.labels import LabelSet, normalise

_LEAD = re.compile(
    r"^\W*(?:the\s+)?(?:label|emotion|answer)[\s*_\"'`]*(?:\bis\b\s*[:=]?|[:=])\s*", re.IGNORECASE
)
_REST = re.compile(r"[.,;:!()\[\]{}–—]|\s-\s|-{2,}")
_CODE_BLOCK = re.compile(r"```\w*\n(.*?)\s*(?:```)?", re.DOTALL)
_VALUE = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SPELLING = re.compile(r"[^\W_](?:.*[^\W_])?", re.DOTALL)


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
    text = without_thinking(answer)
    start = len(answer.rstrip()) - len(text)
    if block := _CODE_BLOCK.fullmatch(text):
        start += block.start(1) + len(block[1]) - len(block[1].lstrip())
        text = block[1].strip()
    if text.startswith("{"):
        return _find_in_json(text, start, labels)
    if lead := _LEAD.match(text):
        start += lead.end()
        text = text[lead.end() :]
    if whole := labels.find(text):
        return _found(whole, text, start)
    line = text.lstrip("*_`\"' \n")
    start += len(text) - len(line)
    first_line = line.split("\n", 1)[0]
    head = _REST.split(first_line, maxsplit=1)[0]
    label = labels.find(head)
    if label is None:
        return None
    mentioned = {labels.find(word) for word in set(re.findall(r"\w+", first_line))} - {None, label}
    return None if mentioned else _found(label, head, start)


def _find_in_json(text: str, start: int, labels: LabelSet) -> FoundLabel | None:
    for candidate in (text, text + "}"):
        try:
            # Pairs, not a dict, which would hide that a key came twice.
            pairs = json.loads(candidate, object_pairs_hook=list)
        except (ValueError, RecursionError):
            continue
        value = pairs[0][1] if len(pairs) == 1 else None
        label = labels.find(value) if isinstance(value, str) and normalise(value) else None
        written = _VALUE.match(text)
        if label is None or written is None:
            return None
        return _found(label, written[1], start + written.start(1))
    return None


def _found(name: str, text: str, start: int) -> FoundLabel:
    """The label that a piece of an answer spells; the piece begins at `start`."""
    spelling = _SPELLING.search(text)
    first, last = spelling.span() if spelling else (0, len(text))
    return FoundLabel(name, start + first, start + last)
