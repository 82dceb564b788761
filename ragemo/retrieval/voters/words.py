"""The words themselves as a voter: what a sentence's vector rounds off, its words still say.

Multinomial naive Bayes over words, word pairs and marks, each counted once an utterance;
characters of scripts without blanks stand for words. With c_lf how many utterances of label l
have feature f, C_l their sum, q_f the feature's share in all labels, F_x the features of an
utterance and mu the smoothing,

    r_lf   = log( (c_lf + mu q_f) / (C_l + mu) / q_f )
    s_l(x) = sum_{f in F_x} r_lf / sqrt(|F_x|)
    p(l | x)  proportional to  pi_l exp( T s_l(x) )

Dividing by the root of the length and fitting T on held-out windows makes up for what is naive:
words are not independent, so that a long utterance would be far too sure.

Source: McCallum and Nigam, "A comparison of event models for naive Bayes text classification",
AAAI workshop (1998); the smoothing is that of Zhai and Lafferty, "A study of smoothing methods
for language models applied to information retrieval", ACM TOIS (2004).
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ragemo.corpus.words import CHARACTER, UNSPACED
from ragemo.retrieval.voters.neighbours import Floats
from ragemo.retrieval.voters.numbers import read_number, read_prior, require_moderate
from ragemo.retrieval.voters.scale import fit_scale, scaled

if TYPE_CHECKING:
    from ragemo.retrieval.voters import Examples, Questions

SMOOTHING = 10_000
"""mu, in features: strong, so that rare words say little."""

RARE = 3
"""A feature of fewer utterances is passed over."""

MOST_FEATURES = 200_000
"""The most frequent ones are kept."""

LONGEST = 40
"""Characters of a word that count; longer ones are no words."""

KEPT_TEXTS = 32_768
"""Texts whose scores are kept: a corpus is often asked about again with other neighbours."""

_WORD = rf"[^\W{UNSPACED}]+"
_TOKEN = re.compile(rf"{CHARACTER}|{_WORD}(?:'{_WORD})*|[!?.,…！？。，]+")


def features(text: str) -> list[str]:
    """Words, marks and pairs of them, each once, in the order they come."""
    # The Turkish capital dotted i folds to two characters, of which the second ends a word.
    folded = text.casefold().replace("i\u0307", "i").replace("’", "'")
    tokens = [token[:LONGEST] for token in _TOKEN.findall(folded)]
    pairs = map(" ".join, zip(["<", *tokens], tokens, strict=False))
    return list(dict.fromkeys([*tokens, *pairs]))


@dataclass(frozen=True)
class WordVoter:
    """The fitted voter.

    Attributes:
        vocabulary: the features, sorted, shape (F,).
        evidence: r, shape (F, L).
        scale: T, 0 or above.
        prior: pi, label shares of the index.
    """

    vocabulary: np.ndarray[Any, Any]
    evidence: Floats
    scale: float
    prior: tuple[float, ...]

    reads_vectors: ClassVar[bool] = False

    @classmethod
    def fit(cls, examples: Examples) -> tuple[WordVoter, Floats]:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        count = len(examples.prior)
        found, vocabulary = _counted([turn.text for turn in examples.turns])
        one_hot = np.eye(count)[examples.labels]
        everything = found.T @ one_hot
        asked_of = found[examples.held_out]
        scores = np.zeros((len(examples.held_out), count))
        for seen, asked in examples.folds:
            scores[asked] = _scores(
                asked_of[asked], _evidence(everything - found[~seen].T @ one_hot[~seen])
            )
        scale = fit_scale(scores, examples.labels[examples.held_out], examples.prior)
        voter = cls(vocabulary, _evidence(everything), scale, examples.prior)
        return voter, scaled(scores, scale, examples.prior)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {feature: row for row, feature in enumerate(self.vocabulary.tolist())}

    def distributions(self, questions: Questions) -> Floats:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        scores = np.array([self._known(turn.text) for turn in questions.turns])
        return scaled(scores.reshape(-1, len(self.prior)), self.scale, self.prior)

    @cached_property
    def _known(self) -> Callable[[str], Floats]:
        """The scores of a text; those asked for lately are kept."""
        return lru_cache(KEPT_TEXTS)(self._score)

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def _score(self, text: str) -> Floats:
        known = [self._rows[feature] for feature in features(text) if feature in self._rows]
        total: Floats = self.evidence[known].sum(axis=0) / np.sqrt(max(len(known), 1))
        return total

    def strongest(self, text: str, label: int, count: int = 5) -> Sequence[tuple[str, float]]:
        """The features of a text that speak most for a label (its position), with r above 0."""
        known = [feature for feature in features(text) if feature in self._rows]
        said = [(feature, float(self.evidence[self._rows[feature], label])) for feature in known]
        return sorted((pair for pair in said if pair[1] > 0), key=lambda pair: -pair[1])[:count]

    def to_dict(self) -> dict[str, Any]:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        return {"smoothing": SMOOTHING, "scale": self.scale, "prior": list(self.prior)}

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        return {"vocabulary": self.vocabulary, "evidence": self.evidence.astype(np.float32)}

    @classmethod
    def from_parts(
        cls, data: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]
    ) -> WordVoter:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        evidence, vocabulary = arrays["evidence"].astype(np.float64), arrays["vocabulary"]
        prior = read_prior(data)
        if vocabulary.dtype.kind != "U" or evidence.shape != (len(vocabulary), len(prior)):
            raise ValueError(f"the words have evidence of shape {evidence.shape}")
        require_moderate("the words' evidence", evidence)
        return cls(vocabulary, evidence, read_number(data, "scale", 0, 1e3), prior)


def _counted(texts: Sequence[str]) -> tuple[Any, np.ndarray[Any, Any]]:
    """Which text has which feature, a sparse matrix of shape (n, F), and the F features, sorted."""
    from scipy.sparse import csr_matrix

    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    columns, ends = array("q"), array("q", [0])
    for text in texts:
        columns.extend(map(numbers.__getitem__, features(text)))
        ends.append(len(columns))
    found = csr_matrix(
        (np.ones(len(columns)), np.array(columns), np.array(ends)), (len(texts), len(numbers))
    )
    times = np.bincount(found.indices, minlength=len(numbers)).tolist()
    least = min(RARE, len(texts))
    often = [(-n, name) for name, n in zip(numbers, times, strict=True) if n >= least]
    kept = sorted(name for _, name in sorted(often)[:MOST_FEATURES])
    found = found[:, np.array([numbers[name] for name in kept], dtype=np.int64)]
    found.sort_indices()  # so that sums are always made in one order
    return found, np.array(kept, dtype=np.str_)


def _evidence(counts: Floats) -> Floats:
    """r from the counts of features by labels, shape (F, L)."""
    shares = (counts.sum(axis=1, keepdims=True) + 0.5) / (counts.sum() + 0.5 * max(len(counts), 1))
    smoothed = (counts + SMOOTHING * shares) / (counts.sum(axis=0) + SMOOTHING)
    evidence: Floats = np.log(smoothed / shares)
    return evidence.astype(np.float32).astype(np.float64)


def _scores(found: Any, evidence: Floats) -> Floats:
    lengths = np.asarray(found.sum(axis=1)).reshape(-1, 1)
    scores: Floats = np.asarray(found @ evidence) / np.sqrt(np.maximum(lengths, 1))
    return scores
