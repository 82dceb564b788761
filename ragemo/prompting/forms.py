"""Forms of answers: what a template may ask for, besides a bare label.

| form | an answer | what is kept beside the label |
| --- | --- | --- |
| `label` | `joy` | |
| `labels` | `{"labels": ["joy", "surprise"]}` | `labels` |
| `rated` | `{"label": "joy", "intensity": 2, "valence": 0.8, "arousal": 0.5}` | the three numbers |
| `reasoned` | `{"reasons": "...", "label": "joy"}` | `reasons` |
| `repaired` | `{"transcript": "...", "label": "joy"}` | `transcript` |
| `translated` | `{"translation": "...", "label": "joy"}` | `translation` |
| `cause` | `{"label": "joy", "cause": 3}` | `cause`: the id of the turn of that number |
| `evidence` | `{"label": "joy", "evidence": "..."}` | `evidence`, and `found`: was it said |

What stands before the label in an answer can still sway it; what stands after it cannot. How
answers are read: `ragemo.llm.forms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """One form of answers.

    Attributes:
        instruction: what a prompt says of it, as one or more sentences.
        properties: the keys of the JSON object in their order; () for a bare label.
        tokens: room that an answer needs beside its label.
    """

    instruction: str
    properties: tuple[str, ...] = ()
    tokens: int = 0


FORMS: Mapping[str, Form] = {
    "label": Form("Answer with exactly one label and nothing else."),
    "labels": Form(
        'Answer with a JSON object and nothing else: {"labels": [...]}, one or more of the labels.',
        ("labels",),
        64,
    ),
    "rated": Form(
        'Answer with a JSON object and nothing else: {"label": ..., "intensity": 0 to 3 in whole '
        'numbers, "valence": -1 (unpleasant) to 1 (pleasant), "arousal": -1 (calm) to 1 '
        "(excited)}, with exactly one label.",
        ("label", "intensity", "valence", "arousal"),
        64,
    ),
    "reasoned": Form(
        'Answer with a JSON object and nothing else: {"reasons": ..., "label": ...}, with the '
        "reasons in at most three sentences and exactly one label.",
        ("reasons", "label"),
        256,
    ),
    "repaired": Form(
        'Answer with a JSON object and nothing else: {"transcript": ..., "label": ...}, with the '
        "utterance as it was most likely said and exactly one label.",
        ("transcript", "label"),
        256,
    ),
    "translated": Form(
        'Answer with a JSON object and nothing else: {"translation": ..., "label": ...}, with the '
        "utterance in English and exactly one label.",
        ("translation", "label"),
        256,
    ),
    "cause": Form(
        'Answer with a JSON object and nothing else: {"label": ..., "cause": ...}, with exactly '
        "one label and the number of the turn that caused the emotion.",
        ("label", "cause"),
        32,
    ),
    "evidence": Form(
        'Answer with a JSON object and nothing else: {"label": ..., "evidence": ...}, with exactly '
        "one label and the words of the conversation that show it best, copied exactly.",
        ("label", "evidence"),
        128,
    ),
}
