"""From what a model says to a label, strictly.

| answer | read as |
| --- | --- |
| a spelling of a label in any case (`joy`, `Happy.`, `**joy**`, `"joy"`) | that label |
| a leading `label:`, `emotion:` or `answer:` before it | that label |
| a JSON object with one value that is a spelling (`{"label": "joy"}`) | that label |
| a label, then a line break, full stop, comma, colon, dash or bracket and more words, and no other label in its first line | that label |
| anything else: two labels, a negation, another emotion, an empty answer | no label |

An answer that is no label is an invalid ballot; it is counted and shown, and never replaced.
"""

from __future__ import annotations

import json
import re

from ragemo.labels import LabelSet, normalise

_LEAD = re.compile(r"^\W*(?:the\s+)?(?:label|emotion|answer)\s*(?:is\s*)?[:=]\s*", re.IGNORECASE)
_REST = re.compile(r"[\n.,;:!()\[\]{}–—]|\s-\s|-{2,}")  # noqa: RUF001


def read_label(answer: str, labels: LabelSet) -> str | None:
    """The label's name that an answer gives, or None (see the module's table)."""
    text = answer.strip()
    if text.startswith("{"):
        return _read_json(text, labels)
    text = _LEAD.sub("", text)
    if whole := labels.find(text):
        return whole
    first_line = text.lstrip("*_`\"' \n").split("\n", 1)[0]
    head = _REST.split(first_line, maxsplit=1)[0]
    label = labels.find(head)
    if label is None:
        return None
    mentioned = {labels.find(word) for word in re.findall(r"\w+", first_line)} - {None, label}
    return None if mentioned else label


def _read_json(text: str, labels: LabelSet) -> str | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or len(data) != 1:
        return None
    value = next(iter(data.values()))
    return labels.find(value) if isinstance(value, str) and normalise(value) else None
