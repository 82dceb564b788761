"""Cut dialogues into windows: a target turn and what was said before it.

This is where gold labels and reference transcripts are left behind: a `Turn` has neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ragemo.corpus.different import transcript_disagreement
from ragemo.corpus.transcripts import Transcript
from ragemo.errors import SettingsError
from ragemo.types import Dialogue, Turn, Window


def turns_of(dialogue: Dialogue, transcripts: Mapping[str, Transcript]) -> tuple[Turn, ...]:
    """A dialogue's utterances as the models may see them.

    Args:
        dialogue: the dialogue.
        transcripts: utterance id -> the transcript chosen for it.

    Raises:
        KeyError: if an utterance has no transcript.
    """
    return tuple(
        Turn(
            utterance_id=utterance.id,
            dialogue_id=utterance.dialogue_id,
            turn=utterance.turn,
            speaker=utterance.speaker,
            session=utterance.session,
            text=transcripts[utterance.id].text,
            source=transcripts[utterance.id].source,
            profile=utterance.profile,
            scene=utterance.scene,
            stage=utterance.stage,
            corpus=utterance.corpus,
            disagreement=transcript_disagreement(utterance),
        )
        for utterance in dialogue.utterances
    )


def cut_windows(
    dialogues: Iterable[Dialogue], transcripts: Mapping[str, Transcript], context: int | None
) -> list[Window]:
    """One window per utterance, in corpus order.

    Args:
        dialogues: the dialogues, in corpus order.
        transcripts: utterance id -> the transcript chosen for it.
        context: how many preceding turns a window holds at most; 0 leaves the target alone,
            None takes the whole dialogue so far.

    Raises:
        SettingsError: if `context` is negative.
        KeyError: if an utterance has no transcript.
    """
    if context is not None and context < 0:
        raise SettingsError(
            f"context is {context}: expected the number of preceding turns, 0 for none, "
            "or nothing for the whole dialogue so far"
        )
    windows = []
    for dialogue in dialogues:
        turns = turns_of(dialogue, transcripts)
        for target in range(len(turns)):
            first = 0 if context is None else max(0, target - context)
            windows.append(Window(turns[first : target + 1]))
    return windows
