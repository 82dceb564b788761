from dataclasses import replace

import pytest

from ragemo.errors import DataError
from ragemo.scoring.predictions import ScoredUtterance
from ragemo.scoring.sets import score_sets
from tests.scoring.inputs import predictions

HELD = ScoredUtterance("u1", "d1", "joy", "joy", label_set=("joy", "neutral"))
MISSED = ScoredUtterance("u2", "d1", "sad", "joy", label_set=("joy",))
BARE = ScoredUtterance("u3", "d1", "sad", "sad")


def test_coverage_and_size_are_of_the_utterances_that_have_a_set():
    found = score_sets(predictions([HELD, MISSED, BARE]))
    assert found is not None
    assert (found.n, found.coverage, found.mean_size) == (2, 0.5, 1.5)


def test_without_sets_there_is_nothing_to_say():
    assert score_sets(predictions([BARE])) is None


def test_an_empty_set_holds_nothing():
    found = score_sets(predictions([replace(HELD, label_set=())]))
    assert found is not None
    assert (found.n, found.coverage, found.mean_size) == (1, 0, 0)


@pytest.mark.parametrize("names", [("joy", "glee"), ("joy", "joy")])
def test_what_is_no_set_of_labels_is_refused(names):
    with pytest.raises(DataError, match=r"'u1'.*label_set.*no set of labels of 'five'"):
        score_sets(predictions([replace(HELD, label_set=names)]))
