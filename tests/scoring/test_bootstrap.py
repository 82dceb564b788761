import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.scoring.bootstrap import intervals, resampled_confusions
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.metrics import METRICS, accuracy
from tests.scoring.inputs import invented, pairs, predictions, utterances


def confusions(count, dialogues, right=0.6):
    return dialogue_confusions(predictions(invented(count, dialogues, right)))


@given(pairs, st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_sample_is_made_of_whole_dialogues(rows, seed):
    counts = dialogue_confusions(predictions(utterances(rows)))
    # Tag each dialogue with a power of a base above any draw, to read its weight back.
    base = len(counts) + 1
    tagged = np.zeros((len(counts), 1, 2), dtype=np.int64)
    tagged[:, 0, 0] = [base**d for d in range(len(counts))]
    samples = resampled_confusions(counts, seed, 20)
    tags = resampled_confusions(tagged, seed, 20)[:, 0, 0].astype(np.int64)
    for sample, tag in zip(samples, tags, strict=True):
        weights = [int(tag) // base**d % base for d in range(len(counts))]
        assert sum(weights) == len(counts)
        expected = sum(w * dialogue for w, dialogue in zip(weights, counts, strict=True))
        np.testing.assert_array_equal(sample, expected)


@given(pairs)
@settings(max_examples=40, deadline=None)
def test_intervals_are_ordered_and_within_zero_and_one(rows):
    counts = dialogue_confusions(predictions(utterances(rows)))
    found = intervals(counts, samples=50)
    assert list(found) == list(METRICS)
    for bounds in found.values():
        if len(counts) == 1:
            assert bounds is None
        else:
            assert bounds is not None
            assert 0 <= bounds[0] <= bounds[1] <= 1


@pytest.mark.parametrize("right", [0.2, 0.6, 0.9])
def test_intervals_hold_the_point_estimate(right):
    counts = confusions(600, 60, right)
    for name, bounds in intervals(counts).items():
        assert bounds is not None
        assert bounds[0] < METRICS[name](counts.sum(axis=0)) < bounds[1]


def test_width_is_that_of_the_sampling_error_of_dialogues():
    # Equal dialogues of independent utterances: accuracy has the binomial standard error.
    counts = confusions(4000, 400)
    found = intervals(counts, samples=2000)["accuracy"]
    p = float(accuracy(counts.sum(axis=0)))
    assert found is not None
    assert found[1] - found[0] == pytest.approx(2 * 1.96 * (p * (1 - p) / 4000) ** 0.5, rel=0.1)


def test_dialogues_that_agree_within_widen_the_interval():
    # Ten copies of one utterance carry the information of one.
    rows = [("joy", "joy" if d % 2 else "sad", d) for d in range(40) for _ in range(10)]
    alone = [(gold, predicted, i) for i, (gold, predicted, _) in enumerate(rows)]
    widths = []
    for made in (rows, alone):
        bounds = intervals(dialogue_confusions(predictions(utterances(made))))["accuracy"]
        assert bounds is not None
        widths.append(bounds[1] - bounds[0])
    assert widths[0] == pytest.approx(10**0.5 * widths[1], rel=0.2)


def test_equal_dialogues_leave_no_doubt():
    rows = [("joy", "joy", d) for d in range(5)] + [("sad", "joy", d) for d in range(5)]
    bounds = intervals(dialogue_confusions(predictions(utterances(rows))))["accuracy"]
    assert bounds == (0.5, 0.5)


def test_one_dialogue_has_no_interval():
    assert intervals(confusions(50, 1)) == dict.fromkeys(METRICS)


def test_a_seed_gives_the_same_bytes_and_another_seed_others():
    counts = confusions(300, 30)
    first = resampled_confusions(counts, seed=7)
    assert first.tobytes() == resampled_confusions(counts, seed=7).tobytes()
    assert first.tobytes() != resampled_confusions(counts, seed=8).tobytes()
    assert intervals(counts, seed=7) == intervals(counts, seed=7)


def test_ten_thousand_dialogues_stay_within_memory():
    counts = confusions(10_000, 10_000)
    tracemalloc.start()
    found = intervals(counts, samples=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["accuracy"] is not None
    assert peak < 50e6  # all weights at once would take 80 MB


@pytest.mark.parametrize("samples", [0, -1, 100_001, 10**11])
def test_no_samples_and_too_many_are_refused(samples):
    with pytest.raises(SettingsError, match=f"{samples} bootstrap samples"):
        intervals(confusions(20, 4), samples=samples)
