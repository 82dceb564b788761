"""What a template is shown: cleaned, and nothing that could leak.

Transcripts and all else that a corpus says are untrusted: line breaks and control characters
become spaces, invisible characters (marks that turn the direction of writing, tags) vanish, and
anything that looks like a chat format's control token is broken up, so that a transcript can
neither close its quotes nor open a message of its own.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from ragemo.files import sha256_bytes
from ragemo.labels import Label, LabelSet
from ragemo.types import Demonstration, Distribution, Turn, Window

Order = Literal["nearest-last", "nearest-first", "shuffled"]
"""Of demonstrations, as `PromptSettings.order` has it."""

Share = tuple[str, int]
"""A label's word and its share in whole percents."""

LEAST_SHARE = 10
"""Smaller shares, in percents, of a demonstration's soft label are not shown."""

_CONTROL_TOKEN = re.compile(r"<(?=\S)|\[(?=/?[A-Z]{2}|gMASK)")
"""Such as <|im_end|>, </s>, <<SYS>>, <｜User...> (DeepSeek), [INST], [/TOOL_RESULTS], [gMASK]."""

_JOINERS = "\u200c\u200d"
"""Invisible, but some scripts and emoji are spelled with them."""


def clean(text: str) -> str:
    """An untrusted text on one line, with no control characters and no control tokens."""
    kept = "".join(map(_visible, text))
    return _CONTROL_TOKEN.sub(lambda match: match.group() + " ", " ".join(kept.split()))


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Cs"):  # and str.split takes the separators of lines and paragraphs
        return " "
    return "" if category == "Cf" and character not in _JOINERS else character


def quoted(text: str) -> str:
    """A text between double quotes, its own quotes and backslashes escaped."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class ShownTurn:
    """A turn as a template sees it.

    Attributes:
        speaker: without double quotes; "Speaker" if nameless.
        text: the chosen transcript.
        number: its place among the turns of its window, from 1; 0 in `memory`.
        profile, scene, stage: what the corpus says of speaker and conversation; may be empty.
        disagreement: of the ASR systems, in [0, 1], or None.
    """

    speaker: str
    text: str
    number: int = 0
    profile: str = ""
    scene: str = ""
    stage: str = ""
    disagreement: float | None = None

    @classmethod
    def of(cls, turn: Turn, number: int = 0) -> ShownTurn:
        """Clean what a corpus says.

        A speaker's name stands outside of quotes, so it may hold none.
        """
        return cls(
            speaker=clean(turn.speaker).replace('"', "'") or "Speaker",
            text=clean(turn.text),
            number=number,
            profile=clean(turn.profile),
            scene=clean(turn.scene),
            stage=clean(turn.stage),
            disagreement=turn.disagreement,
        )


@dataclass(frozen=True)
class ShownDemonstration:
    """A demonstration as a template sees it.

    Attributes:
        word: its gold label's word.
        shares: of its soft label, most likely first, those of ten percent or more; the gold
            label alone where it has no soft one.
        similarity: to the target, in [-1, 1].
        corpus: which of several joined corpora it comes from; empty if there is only one.
    """

    context: list[ShownTurn]
    target: ShownTurn
    word: str
    shares: list[Share]
    similarity: float
    corpus: str


@dataclass(frozen=True)
class Shown:
    """The variables of a template, by their names.

    Attributes:
        labels: the label set in order.
        demonstrations: in the order in which they are to stand.
        memory: turns from long before the context, oldest first.
        context: turns right before the target, oldest first.
        target: the turn in question.
        hint: what the index believes of the target, most likely label first; may be empty.
        hypotheses: distinct transcripts of the target; the chosen one first, even if it is empty.
    """

    labels: tuple[Label, ...]
    demonstrations: list[ShownDemonstration]
    memory: list[ShownTurn]
    context: list[ShownTurn]
    target: ShownTurn
    hint: list[Share]
    hypotheses: list[str]


def show(
    window: Window,
    demonstrations: Sequence[Demonstration],
    labels: LabelSet,
    *,
    hint: Distribution | None,
    hypotheses: Sequence[str],
    memory: Sequence[Turn],
    order: Order,
    seed: int,
) -> Shown:
    """What a template sees of one question; the arguments are those of `Template.render`."""
    turns = _numbered(window)
    chosen, others = turns[-1].text, dict.fromkeys(map(clean, hypotheses))
    target = window.target.utterance_id
    return Shown(
        labels=_cleaned(labels),
        demonstrations=[
            _demonstration(one, labels) for one in _ordered(demonstrations, order, target, seed)
        ],
        memory=[ShownTurn.of(turn) for turn in memory],
        context=turns[:-1],
        target=turns[-1],
        hint=[] if hint is None else _shares(hint, labels),
        hypotheses=[chosen, *(text for text in others if text not in ("", chosen))],
    )


@lru_cache(8)
def _cleaned(labels: LabelSet) -> tuple[Label, ...]:
    """The labels as prompts say them: those of a corpus that declares none are its own words.

    An answer with such a word is read as the same label: blanks and marks do not count there.
    """
    return tuple(
        replace(
            label,
            name=clean(label.name),
            word=clean(label.word),
            aliases=tuple(map(clean, label.aliases)),
            definition=clean(label.definition),
        )
        for label in labels
    )


def _numbered(window: Window) -> list[ShownTurn]:
    return [ShownTurn.of(turn, number) for number, turn in enumerate(window.turns, start=1)]


def _demonstration(demonstration: Demonstration, labels: LabelSet) -> ShownDemonstration:
    turns = _numbered(demonstration.window)
    soft = demonstration.soft_label or labels.one_hot(demonstration.label)
    shares = _shares(soft, labels)
    return ShownDemonstration(
        context=turns[:-1],
        target=turns[-1],
        word=_cleaned(labels)[labels.index(demonstration.label)].word,
        shares=[share for share in shares if share[1] >= LEAST_SHARE] or shares[:1],
        similarity=demonstration.similarity,
        corpus=clean(demonstration.window.target.corpus),
    )


def _shares(distribution: Distribution, labels: LabelSet) -> list[Share]:
    """Labels' words with their percents, most likely first, equals in the label set's order."""
    pairs = zip((label.word for label in _cleaned(labels)), distribution, strict=True)
    ranked = sorted(pairs, key=lambda pair: -pair[1])
    return [(word, round(100 * share)) for word, share in ranked]


def _ordered(
    demonstrations: Sequence[Demonstration], order: Order, target: str, seed: int
) -> list[Demonstration]:
    if order == "nearest-last":
        return list(reversed(demonstrations))
    if order == "nearest-first":
        return list(demonstrations)

    def lot(demonstration: Demonstration) -> str:
        """Its own, so that two keep their order when a third is dropped."""
        own = demonstration.window.target.utterance_id
        return sha256_bytes(json.dumps([seed, target, own]).encode())

    return sorted(demonstrations, key=lot)
