import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.labels import LabelSet
from ragemo.scoring.bootstrap import intervals, resampled_confusions
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.score import Score, score
from ragemo.scoring.slices import SLICE_METRICS, Grouping, score_slices
from tests.scoring.inputs import invented, pairs, predictions, utterances


def grouping(made, parts):
    """The groups that have these ids; what is elsewhere is passed over."""
    place = {one: number for number, ids in enumerate(parts.values()) for one in ids}
    return Grouping(tuple(parts), np.array([place.get(u.id, -1) for u in made], dtype=np.int64))


@given(pairs, st.lists(st.integers(0, 3), min_size=60, max_size=60))
@settings(max_examples=40, deadline=None)
def test_a_group_has_the_figures_it_has_when_scored_alone(rows, groups):
    made = utterances(rows)
    parts = {
        str(group): [u.id for u, own in zip(made, groups, strict=False) if own == group]
        for group in range(4)
    }
    slices = {"by group": grouping(made, parts)}
    found = score_slices(predictions(made), slices, samples=10)["by group"]
    assert [one.group for one in found] == [name for name, ids in parts.items() if ids]
    assert sum(one.n for one in found) == len(made)
    for one in found:
        own = [u for u in made if u.id in parts[one.group]]
        alone = score(predictions(own), training_counts=None, samples=10)
        assert (one.n, one.dialogues) == (alone.n, alone.dialogues)
        assert one.accuracy == pytest.approx(alone.accuracy, abs=1e-12)
        if len({u.gold for u in own}) == 1:
            assert one.weighted_f1 is one.uar is None
        else:
            assert one.weighted_f1 == pytest.approx(alone.weighted_f1, abs=1e-12)
            assert one.uar == pytest.approx(alone.uar, abs=1e-12)


def test_the_group_of_all_has_the_intervals_of_the_whole():
    made = invented(300, 30)
    slices = {"all": grouping(made, {"all": [u.id for u in made]})}
    found = score_slices(predictions(made), slices, seed=5)["all"][0]
    whole = intervals(dialogue_confusions(predictions(made)), seed=5)
    for name in SLICE_METRICS:
        assert found.intervals[name] == pytest.approx(whole[name], abs=1e-12)


def test_many_labels_take_no_memory_for_cells_that_are_empty():
    labels = LabelSet.from_dict({"name": "many", "labels": [f"label {n}" for n in range(60)]})
    made = invented(200, 20, labels=labels)
    found = predictions(made, labels)
    slices = {"gold": Grouping(labels.names, found.gold)}
    tracemalloc.start()
    groups = score_slices(found, slices, samples=200)["gold"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(one.n for one in groups) == len(made)
    assert peak < 60e6  # all cells at once would take 350 MB


def test_intervals_are_those_of_the_samples_that_have_the_group():
    rows = [("joy", "joy" if n % 4 < 2 or n > 17 else "sad", n // 4) for n in range(32)]
    made = utterances(rows)
    rare = [u.id for u in made if u.dialogue_id in ("d1", "d4")]
    slices = {"s": grouping(made, {"rare": rare})}
    found = score_slices(predictions(made), slices, samples=400)["s"][0]
    kept = dialogue_confusions(predictions(made)).copy()
    kept[[d for d in range(8) if d not in (1, 4)]] = 0
    values = []
    for sample in resampled_confusions(kept, seed=0, samples=400):
        if sample.sum():
            values.append(float(SLICE_METRICS["accuracy"](sample)))
    assert len(values) < 400, "some samples miss both dialogues"
    expected = np.quantile(values, (0.025, 0.975))
    assert expected[0] > 0
    assert found.intervals["accuracy"] == pytest.approx(tuple(expected), abs=1e-12)


def test_a_group_of_one_dialogue_has_no_interval():
    made = invented(40, 8)
    groups = {"first": [u.id for u in made if u.dialogue_id == "d0"]}
    found = score_slices(predictions(made), {"s": grouping(made, groups)}, samples=50)["s"][0]
    assert found.dialogues == 1
    assert set(found.intervals.values()) == {None}


def test_groups_without_scored_utterances_and_slices_without_groups_are_left_out():
    made = invented(20, 4)
    slices = {
        "none": grouping(made, {"x": ["elsewhere"]}),
        "some": grouping(made, {"x": [], "y": ["u3", "elsewhere"]}),
    }
    found = score_slices(predictions(made), slices, samples=5)
    assert list(found) == ["some"]
    assert [(one.group, one.n) for one in found["some"]] == [("y", 1)]


def test_they_are_part_of_the_score_and_survive_json():
    made = invented(60, 6)
    slices = {
        "half": grouping(made, {"one": [u.id for u in made[:30]]}),
        "joy": grouping(made, {"joy": [u.id for u in made if u.gold == "joy"]}),
    }
    result = score(predictions(made), training_counts=None, slices=slices, samples=20)
    data = json.loads(json.dumps(result.to_dict()))
    assert data == result.to_dict()
    assert {name: [one["group"] for one in own] for name, own in data["slices"].items()} == {
        "half": ["one"],
        "joy": ["joy"],
    }
    assert Score.from_dict(data) == result


def test_a_group_that_no_sample_holds_has_no_interval():
    made = invented(400, 200)
    rare = [made[0].id, next(u.id for u in made if u.dialogue_id != made[0].dialogue_id)]
    for seed in range(40):  # one sample misses both dialogues now and then
        found = score_slices(
            predictions(made), {"s": grouping(made, {"rare": rare})}, samples=1, seed=seed
        )["s"][0]
        if found.intervals["accuracy"] is None:
            break
    else:
        pytest.fail("every sample held the group")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["dialogues"] == 2
