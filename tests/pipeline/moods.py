"""Dialogues in which a feeling lasts, so that earlier turns tell of later ones."""

from ragemo.types import Corpus
from tests.conftest import LABELS, make_corpus
from tests.pipeline.inputs import chance


def lasting_rows(
    dialogues: int, turns: int, prefix: str, seed: int = 0
) -> list[dict[str, str | None]]:
    """Rows whose label changes every fourth turn; two of three words tell it."""

    def word(label: int, *place: int | str) -> str:
        told = chance("other", seed, *place) % 3 if chance("noise", seed, *place) < 330 else label
        return f"w{told}n{chance('word', seed, *place) % 6}"

    rows: list[dict[str, str | None]] = []
    for dialogue in range(dialogues):
        for turn in range(turns):
            label = chance(prefix, seed, dialogue, turn // 4) % 3
            rows.append(
                {
                    "dialogue": f"{prefix}{dialogue}",
                    "text": " ".join(word(label, prefix, dialogue, turn, n) for n in range(2)),
                    "emotion": LABELS.names[label],
                    "speaker": "AB"[turn % 2],
                }
            )
    return rows


def lasting_corpus(dialogues: int, turns: int, prefix: str, seed: int = 0) -> Corpus:
    """A corpus of such rows."""
    return make_corpus(lasting_rows(dialogues, turns, prefix, seed))
