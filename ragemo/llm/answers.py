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

from ragemo.labels import LabelSet, normalise

_LEAD = re.compile(
    r"^\W*(?:the\s+)?(?:label|emotion|answer)[\s*_\"'`]*(?:\bis\b\s*[:=]?|[:=])\s*", re.IGNORECASE
)
_REST = re.compile(r"[.,;:!()\[\]{}–—]|\s-\s|-{2,}")
_CODE_BLOCK = re.compile(r"```\w*\n(.*?)\s*(?:```)?", re.DOTALL)


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
    text = without_thinking(answer)
    if block := _CODE_BLOCK.fullmatch(text):
        text = block[1].strip()
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
    mentioned = {labels.find(word) for word in set(re.findall(r"\w+", first_line))} - {None, label}
    return None if mentioned else label


def _read_json(text: str, labels: LabelSet) -> str | None:
    for candidate in (text, text + "}"):
        try:
            # Pairs, not a dict, which would hide that a key came twice.
            pairs = json.loads(candidate, object_pairs_hook=list)
        except (ValueError, RecursionError):
            continue
        value = pairs[0][1] if len(pairs) == 1 else None
        return labels.find(value) if isinstance(value, str) and normalise(value) else None
    return None
