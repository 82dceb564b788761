"""A worker whose index has its vectors elsewhere makes, byte for byte, the same run.

A cluster that holds them is in `test_cluster`.
"""

from dataclasses import replace

import pytest

from ragemo.pipeline.plan import fitted_for
from ragemo.pipeline.streaming import parts_here
from tests.pipeline.blockwise import FRESH, MIXED, TWINS, check_same_run
from tests.retrieval.worlds import PiecesHere


def parts_apart(labeller, corpus, numbers):
    """By a worker that cannot fit anything, for it has no vectors."""
    kinship = labeller.outline.survey.kinship
    index = fitted_for(labeller.index, labeller.settings, kinship)
    apart = index.apart(lambda examples: PiecesHere(index.window_vectors, examples, 3))
    assert not apart.window_vectors.size
    return parts_here(replace(labeller, index=apart), corpus, numbers)


@pytest.mark.parametrize(
    ("rows", "overrides"),
    [
        (FRESH, {}),
        (MIXED, {"retrieval.context_weight": 0.3, "retrieval.neighbours": 4}),
        (MIXED, {"voting.dialogue": "viterbi", "retrieval.memory": 2}),
        ([*FRESH, *TWINS], {"retrieval.twins": "leave-out"}),
        ([*MIXED, *TWINS], {"retrieval.twins": "leave-out", "retrieval.only.speakers": ["A"]}),
    ],
    ids=["fresh", "own dialogues, as asked for", "own dialogues", "twins", "all of it"],
)
def test_what_is_fitted_before_is_all_that_it_needs(tmp_path, rows, overrides):
    check_same_run(tmp_path, (rows, overrides), parts_apart)
