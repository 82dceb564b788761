"""What a person should look at first, and why.

The order is that of the verdicts' confidence alone: those without a label come first, then the
least confident. The reasons are signs of doubt put into words; they do not change the order.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragemo.files import as_cell
from ragemo.labels import LabelSet
from ragemo.types import Turn, Verdict
from ragemo.voting.votes import PRECISION

LOW_CONFIDENCE = 0.5
"""Below it, the other labels together have more than the winner."""

COLUMNS = (
    "utterance_id",
    "dialogue_id",
    "speaker",
    "text",
    "label",
    "confidence",
    "runner_up",
    "reasons",
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is to doubt a verdict by.

    Attributes:
        verdict: the decision.
        choices: voter -> its own first choice, in the order to be told.
        similarity: of the closest neighbour, in [-1, 1]; None without an index.
        close: a neighbour below this similarity is not close.
        disagreement: of the ASR systems, see `Turn`, in [0, 1]; None with one transcript.
        silent: whether the chosen transcript is empty.
    """

    verdict: Verdict
    choices: Mapping[str, str]
    similarity: float | None = None
    close: float = -1.0
    disagreement: float | None = None
    silent: bool = False


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One utterance to look at.

    Attributes:
        utterance_id: its id.
        confidence: of the verdict, in [0, 1].
        label: the verdict's, or None.
        runner_up: the label with the next greatest share; None if no other label has any.
        reasons: why to look at it, in words; at least one.
    """

    utterance_id: str
    confidence: float
    label: str | None
    runner_up: str | None
    reasons: tuple[str, ...]

    @property
    def order(self) -> str:
        """A text by which items are in order of doubt."""
        return f"{self.label is not None:d} {self.confidence:.{PRECISION}f}"


def review(
    evidence: Sequence[Evidence],
    labels: LabelSet,
    *,
    disagreement: float = 0.5,
) -> list[ReviewItem]:
    """All utterances, most doubtful first; equals keep their order.

    Args:
        evidence: of each utterance, in the corpus's order.
        labels: the label set.
        disagreement: transcripts disagree from here on. Of the utterances of MELD spoken and
            heard by three recognisers, 73 % are there, and the chosen transcript has 43 % of
            its words wrong, against 11 % below; between the two better recognisers, 30 %, with
            67 % wrong against 21 %.
    """
    items = [_item(one, labels, disagreement) for one in evidence]
    return sorted(items, key=lambda item: item.order)


def _item(one: Evidence, labels: LabelSet, disagreement: float) -> ReviewItem:
    verdict = one.verdict
    runner_up = _runner_up(verdict, labels)
    reasons = []
    lost = [
        f"{word}: {count}"
        for word, count in (("invalid", verdict.invalid), ("failed", verdict.failed))
        if count
    ]
    counts = f" ({', '.join(lost)})" if lost else ""
    if verdict.label is None:
        reasons.append(f"no valid answer{counts}")
    elif lost:
        reasons.append(f"answers are missing{counts}")
    if len(set(one.choices.values())) > 1:
        told = ", ".join(f"{voter} {label}" for voter, label in one.choices.items())
        reasons.append(f"voters disagree: {told}")
    elif verdict.label is not None and verdict.agreement < 1:
        reasons.append(f"ballots disagree: {100 * verdict.agreement:.0f} % say {verdict.label}")
    if one.silent:
        reasons.append("the transcript is empty")
    if one.disagreement is not None and one.disagreement >= disagreement:
        reasons.append(
            f"transcripts disagree (word error rate {one.disagreement:.2f} between systems)"
        )
    if one.similarity is not None and one.similarity < one.close:
        reasons.append(f"no close neighbour (best similarity {one.similarity:.2f})")
    if not reasons:
        doubt = "low confidence" if verdict.confidence < LOW_CONFIDENCE else "no particular doubt"
        shares = f"{verdict.confidence:.2f} {verdict.label}"
        if runner_up is not None and verdict.distribution is not None:
            shares += f", {verdict.distribution[labels.index(runner_up)]:.2f} {runner_up}"
        reasons.append(f"{doubt}: {shares}")
    return ReviewItem(
        verdict.utterance_id, verdict.confidence, verdict.label, runner_up, tuple(reasons)
    )


def _runner_up(verdict: Verdict, labels: LabelSet) -> str | None:
    """The first of the set among equals."""
    found, most, share = None, -1.0, 0.0
    for name, other in zip(labels.names, verdict.distribution or (), strict=False):
        if name != verdict.label and (rounded := round(other, PRECISION)) > most:
            found, most, share = name, rounded, other
    return found if share > 0 else None


def review_csv(items: Sequence[ReviewItem], turns: Mapping[str, Turn]) -> str:
    """The items as a CSV table with a header, in their order; reasons are joined by "; ".

    Transcripts and names are not to be trusted: a spreadsheet takes a cell that begins with =,
    +, - or @ for a formula and runs it. An apostrophe, the spreadsheets' own sign for "this is
    text", is put before such a character at the beginning of a cell, and after a semicolon, at
    which the spreadsheets of many countries begin a new cell. Blanks and line breaks become
    single spaces. The text is otherwise as it was; the corpus has it unchanged.

    Args:
        items: from `review`.
        turns: utterance id -> its turn, for dialogue, speaker and text.

    Raises:
        KeyError: if an item has no turn.
    """
    table = io.StringIO()
    writer = csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in items:
        turn = turns[item.utterance_id]
        cells = (
            item.utterance_id,
            turn.dialogue_id,
            turn.speaker,
            turn.text,
            item.label or "",
            f"{item.confidence:.4f}",
            item.runner_up or "",
            "; ".join(item.reasons),
        )
        writer.writerow(map(as_cell, cells))
    return table.getvalue()
