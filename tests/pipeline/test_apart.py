"""A worker whose index has its vectors elsewhere makes, byte for byte, the same run.

A cluster that holds them is in `test_cluster`.
"""

from dataclasses import replace

import pytest

from ragemo.corpus.stream import CorpusStream
from ragemo.pipeline.plan import fitted_for
from ragemo.pipeline.streaming import parts_here, predict_stream
from tests.conftest import LABELS
from tests.pipeline.blockwise import (
    EMBEDDER,
    FRESH,
    INDEX,
    MIXED,
    TWINS,
    files_of,
    put,
    settings_of,
)
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
    stream = CorpusStream(put(tmp_path / "a.jsonl", rows), LABELS)
    options = {"index": INDEX, "embedder": EMBEDDER, "block": 10}
    whole, run = (
        predict_stream(
            stream, settings_of(**overrides), tmp_path / name, make_parts=make, **options
        )
        for name, make in (("whole", parts_here), ("apart", parts_apart))
    )
    assert files_of(run.path) == files_of(whole.path)
