"""The most likely labelling of whole dialogues, for analyses that may look ahead.

With the words of `ragemo.voting.dialogue`, the labels y of a dialogue maximise

    prod_t  b_t(y_t) * ( P_own(y_t | y_o) / pi(y_t) ) ^ (alpha / d)
                     * ( P_other(y_t | y_x) / pi(y_t) ) ^ beta

Source: Viterbi, "Error bounds for convolutional codes and an asymptotically optimum decoding
algorithm", IEEE Trans. Inf. Theory, 1967, over states that hold the labels of all turns to which
a later turn is still linked: one for each speaker who will speak again, and the last turn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ragemo.voting.transitions import Links, Transitions
from ragemo.voting.votes import Floats, Integers

STATES = 20_000
"""Enough for five turns waiting for a later one with seven labels, seven with four."""


def viterbi(
    beliefs: Floats, links: Links, transitions: Transitions, states: int = STATES
) -> Integers:
    """Label positions, shape (N,).

    A turn's label rests on later turns, too: nothing that has to be causal may use it. The beliefs
    should be as the voters left them; a correction for the prior would be made again at every
    turn that one label leads to. The most likely labels together need not be right more often
    than the most likely label of each turn: on MELD they are not.

    Args:
        beliefs: as for `forward_filter`, shape (N, L).
        links: of the N turns.
        transitions: what earlier turns' labels say, and how much of it counts.
        states: how many states are kept from turn to turn, at least 1. Where there would be more,
            the turn that has waited longest gets the label of the best labelling so far; without
            that the result is exact.

    Among equals, a turn gets the first label given those of the turns that are decided after it.
    """
    evidence = np.log(np.maximum(transitions.evidence(beliefs), 1e-12))
    influences = [
        (link, np.log(lift), exponent) for link, lift, exponent in transitions.influences(links)
    ]
    last_use = np.arange(len(beliefs))
    for link, _, _ in influences:
        linked = np.flatnonzero(link >= 0)
        np.maximum.at(last_use, link[linked], linked)
    labels = np.full(len(beliefs), -1, dtype=np.int64)
    waiting: list[int] = []
    # The best labelling's score in each state, with an axis for each waiting turn.
    scores = np.zeros(())
    choices: list[tuple[int, tuple[int, ...], npt.NDArray[np.int16]]] = []
    for row in range(len(beliefs)):
        waiting.append(row)
        scores = scores[..., None] + evidence[row]
        for link, log_lift, exponent in influences:
            if (source := int(link[row])) < 0:
                continue
            term = exponent[row] * log_lift
            if source in waiting:
                shape = [1] * scores.ndim
                shape[waiting.index(source)] = shape[-1] = len(term)
                scores = scores + term.reshape(shape)
            else:
                scores = scores + term[labels[source]]
        for done in [turn for turn in waiting if last_use[turn] == row]:
            axis = waiting.index(done)
            waiting.pop(axis)
            # As small numbers: a long dialogue has many of these.
            best = scores.argmax(axis=axis).astype(np.int16)
            choices.append((done, tuple(waiting), best))
            scores = scores.max(axis=axis)
        while scores.size > states:
            oldest = waiting.pop(0)
            labels[oldest] = scores.reshape(len(scores), -1).max(axis=1).argmax()
            scores = scores[labels[oldest]]
        if not waiting:
            for done, others, choice in reversed(choices):
                labels[done] = choice[tuple(labels[other] for other in others)]
            choices, scores = [], np.zeros(())
    return labels
