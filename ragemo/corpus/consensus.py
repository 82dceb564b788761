"""How much the ASR hypotheses of an utterance agree with each other.

Hypothesis k scores the sum of a metric against all others, itself as the hypothesis and each
other one as the reference (Stepachev, Chen and Haddow 2024, https://arxiv.org/abs/2410.03312):

    score(k) = sum over i != k of metric(h_k, h_i)

    metric   best      what it is                                            figures equal to
    wer      lowest    word error rate, (S + D + I) / N                      jiwer.wer
    mer      lowest    match error rate, (S + D + I) / (H + S + D + I)       jiwer.mer
    wil      lowest    word information lost, 1 - (H / N) (H / M)            jiwer.wil
    cer      lowest    character error rate, (S + D + I) / N                 jiwer.cer
    ter      lowest    translation edit rate (Snover 2006), in percent       sacrebleu TER
    chrf     highest   character n-gram F2 (Popović 2015), 0 to 100          sacrebleu CHRF
    chrf++   highest   the same with word 1- and 2-grams (Popović 2017)      sacrebleu CHRF
    ratio    highest   1 - character edits / the longer length, in [0, 1]    rapidfuzz

with H hits, S substitutions, D deletions, I insertions, and N and M the lengths of reference
and hypothesis.

Texts are folded before they are compared: some recognisers write case and punctuation and
others cannot, so unfolded text measures style as much as words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

from ragemo.corpus.words import fold

Value = TypeVar("Value")
Table = list[list[float]]
"""Row k, column i: the metric with text k as the hypothesis and text i as the reference."""

HIGHEST_WINS = frozenset({"chrf", "chrf++", "ratio"})


def agreement(texts: Sequence[str], metric: str) -> list[tuple[float, float]]:
    """How well each hypothesis agrees with the others; the greatest is the consensus.

    Word metrics often tie where few systems disagree, so equals are told apart by `ratio`.
    A text without a single letter or digit is compared only if no other text has one either:
    error rates against it would grow with the length of every other text.

    Args:
        texts: the hypotheses, none of them blank.
        metric: one of `METRICS`.

    Returns:
        Per text (signed score, score by `ratio`): greater is better, to nine decimals.
    """
    folded = [fold(text) for text in texts]
    if not any(folded):
        folded = [" ".join(text.split()) for text in texts]
    worded = [text for text in folded if text]
    sign = 1 if metric in HIGHEST_WINS else -1
    scores = consensus_scores(worded, metric)
    ratios = consensus_scores(worded, "ratio")
    # Rounded so that equal sums of other fractions count as equal.
    ranks = {
        text: (round(sign * score, 9), round(ratio, 9))
        for text, score, ratio in zip(worded, scores, ratios, strict=True)
    }
    return [ranks.get(text, (-math.inf, -math.inf)) for text in folded]


def consensus_scores(texts: Sequence[str], metric: str) -> list[float]:
    """Each text's sum of a metric against all others, in the metric's own unit.

    Equal texts are compared once and counted as often as they stand there.

    Args:
        texts: as `fold` leaves them, none of them empty.
        metric: one of `METRICS`.

    Returns:
        One sum per text.
    """
    counts = Counter(texts)
    distinct = list(counts)
    table = METRICS[metric](distinct)
    sums = {}
    for k, text in enumerate(distinct):
        # fsum, so that the order of the texts leaves no trace.
        sums[text] = math.fsum(
            (counts[other] - (i == k)) * table[k][i] for i, other in enumerate(distinct)
        )
    return [sums[text] for text in texts]


def _word_error_rates(texts: Sequence[str]) -> Table:
    return _edits_per_reference_unit([text.split() for text in texts])


def _character_error_rates(texts: Sequence[str]) -> Table:
    return _edits_per_reference_unit(texts)


def _edits_per_reference_unit(sequences: Sequence[Sequence[str]]) -> Table:
    from rapidfuzz.distance import Levenshtein

    edits = _symmetric(sequences, Levenshtein.distance)
    lengths = [len(sequence) for sequence in sequences]
    return [[count / length for count, length in zip(row, lengths, strict=True)] for row in edits]


def _match_error_rates(texts: Sequence[str]) -> Table:
    # S + D + I is all edits, so the denominator is hits + edits.
    return _from_alignments(texts, lambda hits, edits, n, m: edits / (hits + edits))


def _word_information_lost(texts: Sequence[str]) -> Table:
    return _from_alignments(texts, lambda hits, edits, n, m: 1 - (hits / n) * (hits / m))


def _from_alignments(texts: Sequence[str], rate: Callable[[int, int, int, int], float]) -> Table:
    """A rate of (hits, edits, reference words, hypothesis words) for every pair.

    Several alignments can need the fewest edits and differ in hits. rapidfuzz picks one, not
    the same in both directions; it is jiwer's aligner too, so the figures are the same.
    """
    from rapidfuzz.distance import Levenshtein

    words = [text.split() for text in texts]
    table = []
    for hypothesis in words:
        row = []
        for reference in words:
            path = Levenshtein.editops(reference, hypothesis)
            hits = sum(block.size for block in path.as_matching_blocks())
            row.append(rate(hits, len(path), len(reference), len(hypothesis)))
        table.append(row)
    return table


def _ratios(texts: Sequence[str]) -> Table:
    from rapidfuzz.distance import Levenshtein

    return _symmetric(texts, Levenshtein.normalized_similarity)


def _symmetric(items: Sequence[Any], measure: Callable[[Any, Any], Value]) -> list[list[Value]]:
    """A measure of every pair whose order does not matter, taken once per pair."""
    half = [[measure(item, items[i]) for i in range(k + 1)] for k, item in enumerate(items)]
    return [[half[max(k, i)][min(k, i)] for i in range(len(items))] for k in range(len(items))]


def _chrf(texts: Sequence[str]) -> Table:
    return _ngram_f2([_character_ngrams(text) for text in texts])


def _chrf_plus_plus(texts: Sequence[str]) -> Table:
    # sacrebleu also splits punctuation off the words, of which folded text has none.
    return _ngram_f2([_character_ngrams(text) + _word_ngrams(text) for text in texts])


def _character_ngrams(text: str) -> list[set[Any]]:
    text = text.replace(" ", "")
    return [
        _countable([text[start : start + n] for start in range(len(text) - n + 1)])
        for n in range(1, 7)
    ]


def _word_ngrams(text: str) -> list[set[Any]]:
    words = text.split()
    return [_countable(words), _countable(list(pairwise(words)))]


def _countable(items: Sequence[Any]) -> set[Any]:
    """A multiset as a set, repetitions numbered: what two share is then one intersection."""
    counts = Counter(items)
    unique = set(counts)
    if len(unique) < len(items):
        unique.update((item, n) for item, count in counts.items() for n in range(1, count))
    return unique


def _ngram_f2(texts: Sequence[list[set[Any]]]) -> Table:
    """F with beta 2 of precision and recall, each averaged over the orders both texts have."""
    sizes = [[len(ngrams) for ngrams in orders] for orders in texts]
    shared = _symmetric(texts, lambda one, two: [len(a & b) for a, b in zip(one, two, strict=True)])

    def score(k: int, i: int) -> float:
        orders = [
            order for order in zip(shared[k][i], sizes[k], sizes[i], strict=True) if all(order[1:])
        ]
        precision = sum(common / own for common, own, _ in orders) / len(orders)
        recall = sum(common / other for common, _, other in orders) / len(orders)
        return 100 * 5 * precision * recall / (4 * precision + recall) if precision else 0.0

    return [[score(k, i) for i in range(len(texts))] for k in range(len(texts))]


def _translation_edit_rates(texts: Sequence[str]) -> Table:
    """TER: shifts of phrases and word edits, per reference word.

    The search for shifts is slow and rarely finds any. It is left out where it cannot change
    the figure: shifts leave at least max(n, m) - (words in common) edits, each costs one edit
    and must save one. So with at most one edit above that bound, the figure is the plain word
    edits'. (sacrebleu looks for these in a band of 25 around the diagonal; the last condition
    says that it finds them.)
    """
    from rapidfuzz.distance import Levenshtein

    words = [text.split() for text in texts]
    edits = _symmetric(words, Levenshtein.distance)
    shared = _symmetric([_countable(w) for w in words], lambda one, two: len(one & two))

    def rate(k: int, i: int) -> float:
        n, m = len(words[i]), len(words[k])
        bound = max(n, m) - shared[k][i]
        if edits[k][i] <= bound + 1 and (n < 25 or edits[k][i] + abs(n - m) < 24):
            return 100 * edits[k][i] / n
        return float(_sacrebleu_ter().sentence_score(texts[k], [texts[i]]).score)

    return [[rate(k, i) for i in range(len(words))] for k in range(len(words))]


@cache
def _sacrebleu_ter() -> Any:
    from sacrebleu.metrics.ter import TER

    return TER(case_sensitive=True)


METRICS: dict[str, Callable[[Sequence[str]], Table]] = {
    "wer": _word_error_rates,
    "mer": _match_error_rates,
    "wil": _word_information_lost,
    "cer": _character_error_rates,
    "ter": _translation_edit_rates,
    "chrf": _chrf,
    "chrf++": _chrf_plus_plus,
    "ratio": _ratios,
}
"""Metric -> its table over distinct texts."""
