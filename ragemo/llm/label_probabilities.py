"""A distribution over the labels from the log-probabilities that come with one answer.

An endpoint that gives log-probabilities says of every token of an answer how likely it was and
what else might have stood there. Where the label begins, these alternatives are other labels.
Let x be the prompt with the answer up to there, t a token at that place and B(t) the labels that
it begins. Then

    m_l = sum of P(t | x) over the t with B(t) = {l}
    P(l) is proportional to m_l + sum of P(t | x) m_l / sum_{k in B(t)} m_k
                                over the t whose B(t) holds l and others

1. t begins a label if a spelling of it begins with what t says; case, blanks and marks do not
   matter. What prompts call a label (its word) goes before its other spellings: "s" begins
   sadness before fear with its alias "scared". A t that begins no label counts for none;
   neither does one that adds no letter or digit.
2. The answer's own token is followed: where several labels begin with it ("dis"), its probability
   is split by the alternatives of the next one ("gust", "appoint"), down to its last token. What
   is left there is the answer's label's.
3. Tokenizers write a word in one way: of the labels that another alternative begins, those with a
   longer one are left out, and "s" is for sadness alone where "sur" is listed, too. If all have a
   longer one, none is left out. Where no m_l is above 0, the t is shared evenly.
4. A label without an alternative of its own has not been listed. Its m_l is an upper bound: the
   smallest probability listed, or an even part of all that is not listed where that is less.
5. If what was listed for labels is less than `LEAST_COVERAGE` in all, the model was about to say
   something else, and there is no distribution.

What it is not: log P(label | prompt). It is the probability of the label's beginning, it counts
whatever else begins like it, and it depends on what the answer says before the label. Whether the
temperature and the constraint have been applied is the server's affair: llama.cpp and (by
default) vLLM report the bare model's probabilities, before both; OpenAI does not say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ragemo.labels import LabelSet, normalise
from ragemo.llm.answers import FoundLabel, find_label
from ragemo.types import Distribution

LEAST_COVERAGE = 0.5
"""Share of the probability that has to be on labels."""

MOST_LISTED = 1.01
"""What is listed for one place may add up to this much; above, it is no probability."""

Beginnings = Callable[[str], frozenset[str]]
"""From letters and digits to the names of the labels that they begin."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer, and what might have stood in its place.

    Attributes:
        text: its bytes; UTF-8 once all tokens are put together.
        probability: in [0, 1]; 0 where it is not known.
        alternatives: the likeliest tokens at its place and their probabilities, in any order;
            mostly it is one of them.
    """

    text: bytes
    probability: float
    alternatives: tuple[tuple[bytes, float], ...] = ()


@dataclass(frozen=True, slots=True)
class _Option:
    """A token that stands at a place of the label, or might have.

    Attributes:
        text: its bytes, with what it says before the label.
        said: the label's letters and digits up to its end.
        probability: of it, given what stands before it.
    """

    text: bytes
    said: str
    probability: float


@dataclass(frozen=True, slots=True)
class _Place:
    """A token of the label, and what else might have stood there.

    Attributes:
        before: the label's letters and digits already said.
        drawn: the answer's own token.
        others: the alternatives.
        smallest: the smallest probability listed.
    """

    before: str
    drawn: _Option
    others: tuple[_Option, ...]
    smallest: float

    @property
    def listed(self) -> float:
        """Sum of what is listed."""
        return math.fsum(option.probability for option in (self.drawn, *self.others))


@dataclass(slots=True)
class _Masses:
    """Probability by what it is for: one label, several, or a label that was not listed."""

    own: dict[str, list[float]]
    shared: list[tuple[frozenset[str], float]] = field(default_factory=list)
    bounds: list[tuple[frozenset[str], float, float]] = field(default_factory=list)


def label_probabilities(
    answer: str,
    tokens: tuple[Token, ...],
    labels: LabelSet,
    found: FoundLabel | None = None,
) -> Distribution | None:
    """The distribution over the labels at the place where an answer begins to say its label.

    Args:
        answer: as raw as it came.
        tokens: those it is made of; thoughts before it and ends of turn after it may be among
            them.
        labels: the label set.
        found: the answer's label, where that is known already.

    Returns:
        A distribution in which the answer's label has a part, not always the largest; None if
        the answer is no label, the tokens do not make up the answer, or what they list is not
        enough (see the module).
    """
    found = found or find_label(answer, labels)
    if found is None:
        return None
    places = _find_places(answer, found.start, found.end, tokens)
    if not places or any(place.listed > MOST_LISTED for place in places):
        return None
    masses = _follow(places, found.name, labels)
    if not sum(masses.own[found.name]) > 0:
        return None
    return _distribution(masses, labels)


def _find_places(answer: str, start: int, end: int, tokens: tuple[Token, ...]) -> list[_Place]:
    """The tokens that hold answer[start:end]; none if the tokens do not make up the answer.

    Blanks are left out of the comparison: servers strip some from answers, others from tokens.
    """
    texts = [_without_blanks(token.text) for token in tokens]
    said = _without_blanks(_encode(answer))
    begin = b"".join(texts).rfind(said)  # the last: thoughts come first
    if begin < 0:
        return []
    first = begin + len(_without_blanks(_encode(answer[:start])))
    last = begin + len(_without_blanks(_encode(answer[:end])))
    places: list[_Place] = []
    position, before = 0, b""
    for token, text in zip(tokens, texts, strict=True):
        lead = text[: max(first - position, 0)]
        if position < last and first < position + len(text):
            places.append(_place(token, before, lead))
            before += text[len(lead) :]
        position += len(text)
    return places


def _place(token: Token, before: bytes, lead: bytes) -> _Place:
    """What is said of the label with each token that might have stood in one place.

    Args:
        token: the one that stands there.
        before: what was said of the label before it.
        lead: what it says before the label.
    """
    others = list(token.alternatives)
    own = token.probability
    # If its text comes twice (two tokens that look alike), it is taken for the likelier one.
    if alike := [probability for text, probability in others if text == token.text]:
        own = max(alike)
        others.remove((token.text, own))

    def option(text: bytes, probability: float) -> _Option:
        rest = _without_blanks(text)
        if rest.startswith(lead):
            rest = rest[len(lead) :]
        elif normalise(_decode(lead)):
            rest = b""
        return _Option(text, normalise(_decode(before + rest)), probability)

    return _Place(
        normalise(_decode(before)),
        option(token.text, own),
        tuple(option(text, probability) for text, probability in others),
        min([probability for _, probability in token.alternatives] or [own]),
    )


def _follow(places: list[_Place], answered: str, labels: LabelSet) -> _Masses:
    """Give the probability of each alternative to the labels that it begins."""
    beginnings = _find_beginnings(labels)
    masses = _Masses({name: [] for name in labels.names})
    reached = 1.0
    possible = frozenset(labels.names)
    for place in places:
        for option in place.others:
            begun = _begun_with(option, place, beginnings)
            if len(begun) == 1:
                masses.own[next(iter(begun))].append(reached * option.probability)
            elif begun:
                masses.shared.append((begun, reached * option.probability))
        unlisted = max(1 - place.listed, 0.0)
        masses.bounds.append((possible, reached * place.smallest, reached * unlisted))
        reached *= place.drawn.probability
        possible = beginnings(place.drawn.said) | {answered}
        if len(possible) == 1:
            break
    masses.own[answered].append(reached)
    return masses


def _begun_with(option: _Option, place: _Place, beginnings: Beginnings) -> frozenset[str]:
    """The labels that an alternative is for."""
    if option.said == place.before:
        return frozenset()
    begun = beginnings(option.said)
    if len(begun) < 2:
        return begun
    longer = [
        beginnings(other.said)
        for other in (place.drawn, *place.others)
        if other.text.startswith(option.text) and other.text != option.text
    ]
    return begun.difference(*longer) or begun


def _find_beginnings(labels: LabelSet) -> Beginnings:
    """What tells the labels with a word that begins like a text; or, without one, any spelling."""
    words = {label.name: (normalise(label.word),) for label in labels}
    others = {
        label.name: tuple(normalise(spelling) for spelling in (label.name, *label.aliases))
        for label in labels
    }

    def begun(said: str) -> frozenset[str]:
        for table in (words, others):
            found = (
                name
                for name, spellings in table.items()
                if any(spelling.startswith(said) for spelling in spellings)
            )
            if names := frozenset(found):
                return names
        return frozenset()

    return begun


def _distribution(masses: _Masses, labels: LabelSet) -> Distribution | None:
    """Probabilities by what they are for as a distribution: rules 3 to 5 of the module."""
    listed = {name: math.fsum(parts) for name, parts in masses.own.items()}
    covered = math.fsum([*listed.values(), *(probability for _, probability in masses.shared)])
    if covered < LEAST_COVERAGE:
        return None
    missing = frozenset(name for name, probability in listed.items() if probability == 0)
    parts = {name: [probability] for name, probability in listed.items()}
    for possible, smallest, unlisted in masses.bounds:
        for name in possible & missing:
            parts[name].append(min(smallest, unlisted / len(possible & missing)))
    weights = {name: math.fsum(some) for name, some in parts.items()}
    for begun, probability in masses.shared:
        whole = math.fsum(weights[name] for name in begun)
        for name in begun:
            share = weights[name] / whole if whole > 0 else 1 / len(begun)
            parts[name].append(probability * share)
    sums = [math.fsum(parts[name]) for name in labels.names]
    total = math.fsum(sums)
    return tuple(part / total for part in sums)


def _without_blanks(text: bytes) -> bytes:
    return text.translate(None, b" \t\r\n\v\f")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "ignore")  # an alternative may be a part of a letter
