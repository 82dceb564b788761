"""How different the transcripts of an utterance are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import combinations

from ragemo.corpus.consensus import fold
from ragemo.corpus.transcripts import Transcript
from ragemo.types import Utterance


def transcript_disagreement(utterance: Utterance) -> float | None:
    """How much the ASR systems disagree on what was said.

    The mean over all ordered pairs of hypotheses h_k, h_i of their word error rate

        min(1, edits(h_k, h_i) / words(h_i))

    case and punctuation aside. It foretells the chosen transcript's own word error rate better
    than character or match error rates do (rank correlation .64, .60 and .62 on MELD spoken and
    heard by three recognisers). A system that heard nothing disagrees fully with one that heard
    words.

    Returns:
        In [0, 1], 0 where all agree; None where there are fewer than two hypotheses.
    """
    from rapidfuzz.distance import Levenshtein

    systems = len(utterance.hypotheses)
    if systems < 2:
        return None
    counts = Counter(fold(text) for text in utterance.hypotheses.values())
    texts = [(text.split(), count) for text, count in counts.items()]
    rates = []
    for (one, count), (other, other_count) in combinations(texts, 2):
        edits = Levenshtein.distance(one, other)
        pairs = count * other_count
        rates += [pairs * min(1.0, edits / max(1, len(words))) for words in (one, other)]
    # fsum, so that the order of the systems leaves no trace.
    return math.fsum(rates) / (systems * (systems - 1))


def most_different(
    chosen: Transcript, hypotheses: Mapping[str, str], count: int | None = None
) -> list[Transcript]:
    """The chosen transcript, then the others that differ, each as unlike those before as can be.

    The next one is that with the greatest distance to the nearest of those before: word edits /
    the longer length, case and punctuation aside; the first in alphabetical order among equals.
    Blank texts are left out, and of texts with the same words all but that of the first system
    by name.

    Args:
        chosen: the transcript to begin with.
        hypotheses: ASR system -> text.
        count: how many at most, with the chosen one; None: all.

    Returns:
        One or more transcripts.
    """
    from rapidfuzz.distance import Levenshtein

    found = [chosen]
    latest = fold(chosen.text)
    others = {
        folded: Transcript(text, system)
        for system, text in sorted(hypotheses.items(), reverse=True)
        if (folded := fold(text)) not in ("", latest)
    }
    nearest = dict.fromkeys(sorted(others), 1.0)
    while nearest and (count is None or len(found) < count):
        for folded, distance in nearest.items():
            away = Levenshtein.normalized_distance(folded.split(), latest.split())
            nearest[folded] = min(distance, away)
        latest = max(nearest, key=lambda folded: nearest[folded])
        del nearest[latest]
        found.append(others[latest])
    return found
