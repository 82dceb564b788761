import json
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import DataError, SettingsError
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.metrics import headline
from ragemo.scoring.predictions import ScoredUtterance
from ragemo.scoring.score import Score, score
from tests.scoring.inputs import LABELS, invented, pairs, predictions, utterances

TRAINING = {"neutral": 10, "joy": 30, "sad": 30}


def test_figures_of_a_small_run_counted_by_hand():
    rows = [
        ScoredUtterance("a", "d1", "joy", "joy"),
        ScoredUtterance("b", "d1", "joy", "sad"),
        ScoredUtterance("c", "d2", "sad", None, invalid=True),
        ScoredUtterance("d", "d2", "sad", None, failed=True),
        ScoredUtterance("e", "d3", "sad", "sad"),
    ]
    result = score(predictions(rows), training_counts=TRAINING)
    assert (result.n, result.dialogues, result.invalid, result.errors) == (5, 3, 1, 1)
    assert result.accuracy == pytest.approx(2 / 5)
    assert result.uar == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert result.per_class["joy"].precision == 1
    assert result.per_class["joy"].recall == pytest.approx(1 / 2)
    assert result.per_class["sad"].f1 == pytest.approx(2 / 5)
    assert result.per_class["fear"].support == 0
    assert result.confusion[1] == (0, 1, 1, 0, 0, 0)
    assert result.confusion[2] == (0, 0, 1, 0, 0, 2)


def test_the_data_has_the_promised_keys_and_survives_json():
    result = score(predictions(invented(200, 20)), training_counts=TRAINING, notes=["mind this"])
    data = json.loads(json.dumps(result.to_dict()))
    assert data == result.to_dict()
    assert {
        "n",
        "accuracy",
        "uar",
        "weighted_f1",
        "macro_f1",
        "invalid",
        "errors",
        "abstained",
        "accuracy_of_kept",
        "intervals",
        "per_class",
        "confusion",
        "selective",
        "label_sets",
        "baselines",
        "seed",
        "bootstrap_samples",
    } <= data.keys()
    assert data["confusion"]["labels"] == list(LABELS.names)
    assert sum(map(sum, data["confusion"]["counts"])) == data["n"] == 200
    assert Score.from_dict(data) == result
    by_key = json.loads(json.dumps(result.to_dict(), sort_keys=True))
    assert Score.from_dict(by_key).labels == LABELS.names


def test_a_score_with_abstentions_and_label_sets_survives_json():
    made = [
        replace(u, abstained=i % 5 == 0, label_set=(u.gold, "fear") if u.gold != "fear" else None)
        for i, u in enumerate(invented(100, 10))
    ]
    result = score(predictions(made), training_counts=TRAINING)
    data = json.loads(json.dumps(result.to_dict()))
    assert data["abstained"] == 20
    assert data["label_sets"]["mean_size"] == 2
    assert [point["coverage"] for point in data["selective"]["curve"]][-1] == 1
    assert Score.from_dict(data) == result
    without = score(predictions(utterances([("joy", "joy", 0)])), training_counts=None)
    assert without.selective is without.label_sets is None
    assert Score.from_dict(json.loads(json.dumps(without.to_dict()))) == without


def test_an_abstained_verdict_is_scored_with_its_label_and_left_out_of_the_kept():
    rows = [
        ScoredUtterance("a", "d1", "joy", "joy"),
        ScoredUtterance("b", "d1", "joy", "sad", abstained=True),
        ScoredUtterance("c", "d2", "sad", "sad", abstained=True),
        ScoredUtterance("d", "d2", "sad", "joy"),
        ScoredUtterance("e", "d2", "sad", None, invalid=True),
    ]
    result = score(predictions(rows), training_counts=None)
    assert result.accuracy == pytest.approx(2 / 5)
    assert result.abstained == 2
    assert result.accuracy_of_kept == pytest.approx(1 / 3)
    unused = score(predictions([replace(u, abstained=False) for u in rows]), training_counts=None)
    assert (unused.abstained, unused.accuracy_of_kept) == (0, unused.accuracy)
    silent = score(predictions([replace(u, abstained=True) for u in rows]), training_counts=None)
    assert (silent.abstained, silent.accuracy_of_kept) == (5, None)
    assert silent.metrics == unused.metrics == result.metrics


@pytest.mark.parametrize("damage", [[], None, {"n": 1}])
def test_data_that_is_no_score_is_refused(damage):
    with pytest.raises(DataError, match=r"scores\.json: not a score"):
        Score.from_dict(damage, "scores.json")


@given(pairs, st.randoms())
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_utterances_does_not_matter(rows, dice):
    scored = utterances(rows)
    shuffled = list(scored)
    dice.shuffle(shuffled)
    first = score(predictions(scored), training_counts=None, samples=50)
    assert score(predictions(shuffled), training_counts=None, samples=50) == first


def test_a_seed_gives_the_same_bytes():
    made = invented(200, 20)
    first, again, other = (
        json.dumps(score(predictions(made), training_counts=None, seed=seed).to_dict())
        for seed in (3, 3, 4)
    )
    assert first == again != other


def test_nothing_to_score_is_an_error():
    with pytest.raises(DataError, match="no utterance has a gold label"):
        score(predictions([]), training_counts=None)


def test_one_dialogue_has_no_intervals_and_says_so():
    result = score(predictions(invented(30, 1)), training_counts=None)
    assert set(result.intervals.values()) == {None}
    assert result.bootstrap_samples == 0
    assert any("at least two dialogues" in note for note in result.notes)


def test_majority_is_of_the_training_labels_and_ties_go_by_label_order():
    made = utterances([("joy", "sad", 0), ("sad", "sad", 1), ("sad", "sad", 2)])
    counts = {"glee": 99, "sad": 30, "joy": 30, "neutral": 10}
    baselines = score(predictions(made), training_counts=counts).baselines
    assert baselines["majority"]["accuracy"] == pytest.approx(1 / 3)  # it says joy
    assert baselines["majority"]["uar"] == 0.5
    assert baselines["majority"]["weighted_f1"] == pytest.approx(1 / 3 * (2 * 1 / (1 + 3)))


@pytest.mark.parametrize("unknown", [None, {}, {"joy": 0}, {"glee": 5}])
def test_without_training_counts_majority_is_of_the_scored_labels(unknown):
    made = utterances([("joy", "sad", 0), ("sad", "sad", 1), ("sad", "sad", 2)])
    baselines = score(predictions(made), training_counts=unknown).baselines
    assert "majority" not in baselines
    assert baselines["majority of the scored labels"]["accuracy"] == pytest.approx(2 / 3)


@given(pairs)
@settings(max_examples=20, deadline=None)
def test_random_is_right_once_in_as_many_times_as_there_are_labels(rows):
    random_guess = score(predictions(utterances(rows)), training_counts=None, samples=1).baselines[
        "random"
    ]
    assert random_guess["accuracy"] == pytest.approx(1 / 5, abs=1e-12)
    assert random_guess["uar"] == pytest.approx(1 / 5, abs=1e-12)


def test_random_f1_is_that_of_simulated_guessing():
    made = invented(80, 8)
    result = score(predictions(made), training_counts=None)
    dice = random.Random(1)
    simulated = {"weighted_f1": 0.0, "macro_f1": 0.0}
    for _ in range(200):
        guessed = [replace(u, predicted=dice.choice(LABELS.names)) for u in made]
        figures = headline(dialogue_confusions(predictions(guessed)).sum(axis=0))
        for name in simulated:
            simulated[name] += figures[name] / 200
    for name, value in simulated.items():
        assert result.baselines["random"][name] == pytest.approx(value, abs=0.01)


def test_another_system_is_scored_like_the_run():
    made = invented(100, 10)
    other = [replace(u, predicted=u.gold, distribution=None) for u in reversed(made)]
    result = score(
        predictions(made), training_counts=None, others={"retrieval only": predictions(other)}
    )
    assert result.baselines["retrieval only"] == dict.fromkeys(result.metrics, 1.0)


def test_another_system_must_have_the_same_utterances_and_gold_labels():
    made = invented(10, 2)
    with pytest.raises(DataError, match=r"'u9'.*system 'probe'.*same utterances"):
        score(predictions(made), training_counts=None, others={"probe": predictions(made[:-1])})
    other_gold = [replace(made[0], gold="fear" if made[0].gold != "fear" else "joy"), *made[1:]]
    with pytest.raises(DataError, match=r"'u0'.*system 'probe'"):
        score(predictions(made), training_counts=None, others={"probe": predictions(other_gold)})


def test_another_system_cannot_take_the_name_of_a_baseline():
    made = invented(10, 2)
    with pytest.raises(SettingsError, match="'random' has the name of a baseline"):
        score(predictions(made), training_counts=None, others={"random": predictions(made)})


def test_ten_thousand_predictions_are_scored_within_a_second():
    made = invented(10_000, 10_000)
    start = time.process_time()
    score(predictions(made), training_counts=None)
    assert time.process_time() - start < 1
