"""Which conversations of a run its page shows: all of a small run, some of a large one.

Figures are always of the whole run. What a page holds of every turn is read by a browser at once,
so a million turns would help nobody: the first dialogues are shown, or those that are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ragemo.errors import SettingsError
from ragemo.report import SHOWN
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run


@dataclass(frozen=True)
class Shown:
    """What is shown, of the dialogues in which anything is predicted.

    Attributes:
        utterances: of the dialogues that are shown, whole.
        dialogues: how many these are.
        of_utterances, of_dialogues: how many there are.
        left_out: utterances of dialogues in which nothing is predicted.
    """

    utterances: tuple[RunUtterance, ...]
    dialogues: int
    of_utterances: int
    of_dialogues: int
    left_out: int

    @property
    def limit(self) -> str | None:
        """What a reader must know of what is not shown; None where everything is."""
        if self.dialogues == self.of_dialogues:
            return None
        return (
            f"{self.dialogues:,} of {self.of_dialogues:,} dialogues are shown "
            f"({len(self.utterances):,} of {self.of_utterances:,} utterances); figures are of "
            "all. --show N shows the dialogues of the first N utterances, --dialogue ID one by name"
        )


def shown_of(run: Run, most: int = SHOWN, named: Sequence[str] = ()) -> Shown:
    """Choose what is shown; the run is read through and all else of it is not kept.

    Args:
        run: its dialogues, in corpus order.
        most: dialogues are shown until there are so many utterances.
        named: ids of the dialogues to show instead, however many.

    Raises:
        SettingsError: if a dialogue is named in which nothing is predicted.
        RunFolderError: if the run is damaged.
    """
    utterances: list[RunUtterance] = []
    missing = dict.fromkeys(named)
    dialogues = of_utterances = of_dialogues = left_out = 0
    for name, together in groupby(run.each_utterance(), key=lambda one: one.turn.dialogue_id):
        own = list(together)
        if not any(utterance.predicted for utterance in own):
            left_out += len(own)
            continue
        of_dialogues += 1
        of_utterances += len(own)
        if name in missing if named else len(utterances) < most:
            missing.pop(name, None)
            dialogues += 1
            utterances += own
    if missing:
        raise SettingsError(
            f"--dialogue {next(iter(missing))}: there is no dialogue of that name in {run.path} in "
            f"which anything was predicted; {run.path / 'utterances.jsonl'} has their names "
            "(dialogue_id)"
        )
    return Shown(tuple(utterances), dialogues, of_utterances, of_dialogues, left_out)
