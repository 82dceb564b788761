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
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain, repeat
from typing import Any

Table = list[list[float]]
"""Row k, column i: the metric with text k as the hypothesis and text i as the reference."""

APOSTROPHES = "'’"
"""They spell words (don't), where other punctuation stands between them."""

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


def fold(text: str) -> str:
    """Text without case and punctuation, its words separated by single spaces.

    Apostrophes vanish; other Unicode punctuation and symbols become spaces. Letters of any
    script and their accents stay.
    """
    return " ".join(text.casefold().translate(_folding).split())


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
        others = [counts[other] - (i == k) for i, other in enumerate(distinct)]
        sums[text] = math.fsum(map(float.__mul__, table[k], map(float, others)))
    return [sums[text] for text in texts]


class _Folding(dict[int, int | str | None]):
    """A translation table that fills itself as characters come."""

    def __missing__(self, code: int) -> int | str | None:
        character = chr(code)
        if character in APOSTROPHES:
            self[code] = None
        elif unicodedata.category(character)[0] in "PS":
            self[code] = " "
        else:
            self[code] = code
        return self[code]


_folding = _Folding()


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


def _symmetric(items: Sequence[Any], measure: Callable[[Any, Any], float]) -> Table:
    table = [[0.0] * len(items) for _ in items]
    for k, item in enumerate(items):
        for i in range(k + 1):
            table[k][i] = table[i][k] = measure(item, items[i])
    return table


def _chrf(texts: Sequence[str]) -> Table:
    return _chrf_table([_character_ngrams(text) for text in texts])


def _chrf_plus_plus(texts: Sequence[str]) -> Table:
    # sacrebleu also splits punctuation off the words, of which folded text has none.
    return _chrf_table([_character_ngrams(text) + _word_ngrams(text) for text in texts])


def _character_ngrams(text: str) -> list[set[Any]]:
    text = "".join(text.split())
    return [
        _countable(text[start : start + n] for start in range(len(text) - n + 1))
        for n in range(1, 7)
    ]


def _word_ngrams(text: str) -> list[set[Any]]:
    words = text.split()
    return [_countable(words), _countable(zip(words, words[1:], strict=False))]


def _countable(ngrams: Any) -> set[Any]:
    """A multiset as a set, each repetition numbered: common n-grams are then one intersection."""
    counts = Counter(ngrams)
    repeated = ((ngram, count) for ngram, count in counts.items() if count > 1)
    return set(counts).union(*(zip(repeat(ngram), range(1, count)) for ngram, count in repeated))


def _chrf_table(texts: Sequence[list[set[Any]]]) -> Table:
    """chrF with beta 2 from n-grams by order, averaged over the orders both texts have."""
    sizes = [[len(ngrams) for ngrams in orders] for orders in texts]

    def score(k: int, i: int) -> float:
        precision = recall = 0.0
        effective = 0
        for own, other, n, m in zip(texts[k], texts[i], sizes[k], sizes[i], strict=True):
            if n and m:
                common = len(own & other)
                precision += common / n
                recall += common / m
                effective += 1
        if not precision:
            return 0.0
        precision /= effective
        recall /= effective
        return 100 * 5 * precision * recall / (4 * precision + recall)

    return [[score(k, i) for i in range(len(texts))] for k in range(len(texts))]


def _translation_edit_rates(texts: Sequence[str]) -> Table:
    words = [text.split() for text in texts]
    return [[_ter(hypothesis, reference) for reference in words] for hypothesis in words]
