"""Choose one transcript per utterance among its ASR hypotheses, or from their words.

    strategy                     chooses
    longest                      the most characters
    shortest                     the fewest characters
    most-punctuation             the most punctuation characters
    least-punctuation            the fewest punctuation characters
    longest-most-punctuation     the longest; among equals, the most punctuation
    longest-least-punctuation    the longest; among equals, the least punctuation
    shortest-most-punctuation    the shortest; among equals, the most punctuation
    shortest-least-punctuation   the shortest; among equals, the least punctuation
    random                       any, drawn by seed and utterance id
    consensus-wer                lowest sum of word error rates against the others
    consensus-mer                lowest sum of match error rates
    consensus-wil                lowest sum of word information lost
    consensus-cer                lowest sum of character error rates
    consensus-ter                lowest sum of translation edit rates
    consensus-chrf               highest sum of chrF
    consensus-chrf++             highest sum of chrF++
    consensus-ratio              highest sum of normalised Levenshtein similarities
    rover                        the words that most of the systems heard

Besides these, an ASR system's name takes that system's text as it is, and `reference` takes the
human transcript; it is used under no other name.

The heuristics and the consensus are those of Stepachev, Chen and Haddow (2024),
https://arxiv.org/abs/2410.03312; see `ragemo.corpus.consensus` for the metrics. All take
seconds for thousands of utterances but `consensus-ter`, which searches for moved phrases: a
few minutes where many systems heard long utterances.

Blank hypotheses are dropped first. Length is counted in characters, surrounding space aside:
words would be useless for scripts that do not separate them. Punctuation is every character
that Unicode calls so, apart from apostrophes. Ties go to the system whose name comes first in
alphabetical order; in a consensus, first to the better `consensus-ratio` score and then to the
most punctuation, which often carries emotion. The order of the hypotheses never matters. The
chosen text is one of them, unchanged; only `rover` may put one together from their words (see
`ragemo.corpus.rover`), and its source is always "rover".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ragemo.corpus.consensus import METRICS, agreement
from ragemo.corpus.rover import vote
from ragemo.corpus.words import APOSTROPHES
from ragemo.errors import SettingsError
from ragemo.types import Utterance

REFERENCE = "reference"
"""The strategy that takes the human transcript, and the source it is marked with."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text chosen for an utterance.

    Attributes:
        text: one of the hypotheses, unchanged, or put together from them by `rover`; empty if
            there is none to choose.
        source: whose it is: an ASR system's name, "rover", "reference", or "" if every
            hypothesis is blank.
    """

    text: str
    source: str


Strategy = Callable[[Sequence[Transcript], str], Transcript]
"""(the hypotheses that are not blank, by system name; what to draw from) -> the transcript."""


def strategy_names() -> list[str]:
    """Names of the strategies that choose among hypotheses (`reference` is not one)."""
    return list(STRATEGIES)


def choose_transcripts(
    utterances: Sequence[Utterance],
    strategy: str,
    *,
    seed: int = 0,
    systems: Collection[str] = (),
) -> list[Transcript]:
    """Choose a transcript for every utterance.

    Args:
        utterances: in any order; none depends on another.
        strategy: a strategy, else an ASR system's name, or `reference`. An asked-for system
            that is silent on an utterance gives it an empty text.
        seed: for `random`.
        systems: ASR systems of the corpus, where the utterances are but a part of it.

    Returns:
        One transcript per utterance, in their order.

    Raises:
        SettingsError: if no such strategy or system exists, or a reference is missing.
    """
    if strategy in STRATEGIES:
        choose = STRATEGIES[strategy]
        return [_choose(utterance, choose, seed) for utterance in utterances]
    if strategy == REFERENCE:
        return [_reference(utterance) for utterance in utterances]
    there = sorted({system for utterance in utterances for system in utterance.hypotheses})
    if strategy not in (*there, *systems):
        raise SettingsError(
            f"no transcript strategy or ASR system {strategy!r}: expected one of the corpus's "
            f"systems ({', '.join(there) or 'it has none'}), one of the strategies "
            f"({', '.join(STRATEGIES)}), or {REFERENCE}"
        )
    return [_of_system(utterance, strategy) for utterance in utterances]


def _choose(utterance: Utterance, choose: Strategy, seed: int) -> Transcript:
    spoken = [
        Transcript(text, s) for s, text in sorted(utterance.hypotheses.items()) if text.strip()
    ]
    return choose(spoken, f"{seed}\0{utterance.id}") if spoken else Transcript("", "")


def _reference(utterance: Utterance) -> Transcript:
    if utterance.reference is None:
        raise SettingsError(
            f"transcript {REFERENCE!r} was asked for, but utterance {utterance.id!r} has no "
            "reference transcript; choose a strategy or an ASR system instead"
        )
    return Transcript(utterance.reference, REFERENCE)


def _of_system(utterance: Utterance, system: str) -> Transcript:
    text = utterance.hypotheses.get(system, "")
    if text.strip():
        return Transcript(text, system)
    silent = not any(other.strip() for other in utterance.hypotheses.values())
    return Transcript("", "" if silent else system)


def _length(text: str) -> int:
    return len(text.strip())


def _punctuation(text: str) -> int:
    return sum(
        unicodedata.category(character)[0] == "P" and character not in APOSTROPHES
        for character in text
    )


def _greatest(key: Callable[[str], Any]) -> Strategy:
    """The first text with the greatest key."""

    def choose(spoken: Sequence[Transcript], draw: str) -> Transcript:
        return max(spoken, key=lambda one: key(one.text))

    return choose


def _consensus(metric: str) -> Strategy:
    """The text that agrees best with the others."""

    def choose(spoken: Sequence[Transcript], draw: str) -> Transcript:
        if len(spoken) == 1:
            return spoken[0]
        ranks = agreement([one.text for one in spoken], metric)
        best = max(range(len(spoken)), key=lambda k: (*ranks[k], _punctuation(spoken[k].text)))
        return spoken[best]

    return choose


def _rover(spoken: Sequence[Transcript], draw: str) -> Transcript:
    medoid = _consensus("ratio")(spoken, draw)
    return Transcript(vote([one.text for one in spoken], medoid.text), "rover")


def _random(spoken: Sequence[Transcript], draw: str) -> Transcript:
    return spoken[
        int.from_bytes(sha256(draw.encode(errors="surrogatepass")).digest()) % len(spoken)
    ]


STRATEGIES: dict[str, Strategy] = {
    "longest": _greatest(_length),
    "shortest": _greatest(lambda text: -_length(text)),
    "most-punctuation": _greatest(_punctuation),
    "least-punctuation": _greatest(lambda text: -_punctuation(text)),
    "longest-most-punctuation": _greatest(lambda text: (_length(text), _punctuation(text))),
    "longest-least-punctuation": _greatest(lambda text: (_length(text), -_punctuation(text))),
    "shortest-most-punctuation": _greatest(lambda text: (-_length(text), _punctuation(text))),
    "shortest-least-punctuation": _greatest(lambda text: (-_length(text), -_punctuation(text))),
    "random": _random,
    **{f"consensus-{metric}": _consensus(metric) for metric in METRICS},
    "rover": _rover,
}
"""Name -> strategy."""
