import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as judge

from ragemo.errors import DataError
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.metrics import METRICS, calibration, class_metrics, headline
from ragemo.scoring.predictions import ScoredUtterance
from tests.scoring.inputs import LABELS, invented, pairs, predictions, utterances


def total(rows):
    return dialogue_confusions(predictions(utterances(rows))).sum(axis=0)


@given(pairs)
@settings(deadline=None)
def test_headline_metrics_agree_with_scikit_learn(rows):
    gold = [g for g, _, _ in rows]
    predicted = ["(no label)" if p is None else p for _, p, _ in rows]
    occurring = sorted({*gold, *predicted} - {"(no label)"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of predictions that gold lacks
        expected = {
            "accuracy": judge.accuracy_score(gold, predicted),
            "uar": judge.balanced_accuracy_score(gold, predicted),
            "weighted_f1": judge.f1_score(gold, predicted, average="weighted", zero_division=0),
            "macro_f1": judge.f1_score(
                gold, predicted, labels=occurring, average="macro", zero_division=0
            ),
        }
    assert headline(total(rows)) == pytest.approx(expected, abs=1e-9)


@given(pairs)
@settings(deadline=None)
def test_class_metrics_agree_with_scikit_learn(rows):
    gold = [g for g, _, _ in rows]
    predicted = ["(no label)" if p is None else p for _, p, _ in rows]
    expected = judge.precision_recall_fscore_support(
        gold, predicted, labels=list(LABELS.names), zero_division=0
    )
    for ours, theirs in zip(class_metrics(total(rows)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


@given(pairs.filter(lambda rows: all(p is not None for _, p, _ in rows)))
@settings(deadline=None)
def test_without_invalid_answers_macro_f1_is_the_default_of_scikit_learn(rows):
    expected = judge.f1_score(
        [g for g, _, _ in rows], [p for _, p, _ in rows], average="macro", zero_division=0
    )
    assert headline(total(rows))["macro_f1"] == pytest.approx(expected, abs=1e-9)


@given(st.lists(pairs, min_size=1, max_size=5))
@settings(deadline=None)
def test_a_stack_of_matrices_gives_the_metrics_of_each(stack):
    matrices = [total(rows) for rows in stack]
    for metric in METRICS.values():
        alone = [float(metric(matrix)) for matrix in matrices]
        np.testing.assert_allclose(metric(np.stack(matrices)), alone, atol=1e-12)


def test_an_answer_without_a_label_is_wrong_and_not_dropped():
    rows = [("joy", "joy", 0), ("joy", None, 0), ("sad", "sad", 0), ("sad", "sad", 0)]
    figures = headline(total(rows))
    assert figures["accuracy"] == 0.75
    assert figures["uar"] == 0.75  # recalls 1/2 and 1; labels without gold do not count
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


@given(pairs)
@settings(deadline=None)
def test_confusion_counts_agree_with_a_loop(rows):
    scored = utterances(rows)
    dialogues = sorted({u.dialogue_id for u in scored})
    expected = np.zeros((len(dialogues), 5, 6), dtype=int)
    for u in scored:
        column = 5 if u.predicted is None else LABELS.index(u.predicted)
        expected[dialogues.index(u.dialogue_id), LABELS.index(u.gold), column] += 1
    np.testing.assert_array_equal(dialogue_confusions(predictions(scored)), expected)


@pytest.mark.parametrize("field", ["gold", "predicted"])
def test_an_unknown_label_is_refused_by_name(field):
    wrong = replace(ScoredUtterance("u7", "d1", "joy", "joy"), **{field: "glee"})
    with pytest.raises(DataError, match=rf"'u7'.*{field}.*'glee' is not a label of 'five'.*joy"):
        dialogue_confusions(predictions([wrong]))


def test_an_utterance_scored_twice_is_refused():
    one = ScoredUtterance("u7", "d1", "joy", "joy")
    with pytest.raises(DataError, match=r"'u7'.*twice"):
        dialogue_confusions(predictions([one, replace(one, predicted="sad")]))


def test_log_loss_and_brier_agree_with_scikit_learn():
    kept = [u for u in invented(300, 20) if u.distribution is not None]
    gold = [u.gold for u in kept]
    # scikit-learn takes the columns in alphabetical order.
    order = [LABELS.index(name) for name in sorted(LABELS.names)]
    probabilities = np.array([u.distribution for u in kept])[:, order]
    ours = calibration(predictions(invented(300, 20)))
    assert ours is not None
    assert ours.n == len(kept) < 300
    names = sorted(LABELS.names)
    assert ours.log_loss == pytest.approx(
        judge.log_loss(gold, probabilities, labels=names), abs=1e-9
    )
    one_hot = np.array([[float(name == g) for name in names] for g in gold])
    expected = judge.mean_squared_error(one_hot, probabilities) * len(names)
    assert ours.brier == pytest.approx(expected, abs=1e-9)


def test_expected_calibration_error_agrees_with_a_loop():
    scored = [u for u in invented(300, 20) if u.distribution is not None]
    expected = 0.0
    for low in range(15):
        inside = [
            (u.gold == u.predicted, u.distribution[LABELS.index(u.predicted)])
            for u in scored
            if low / 15 < u.distribution[LABELS.index(u.predicted)] <= (low + 1) / 15
        ]
        if inside:
            right = sum(r for r, _ in inside) / len(inside)
            confidence = sum(c for _, c in inside) / len(inside)
            expected += len(inside) / len(scored) * abs(right - confidence)
    ours = calibration(predictions(scored))
    assert ours is not None
    assert ours.ece == pytest.approx(expected, abs=1e-9)
    assert ours.ece > 0.01


def test_a_confidence_on_the_edge_of_two_bins_is_in_the_lower():
    on_edge = ScoredUtterance("u1", "d1", "joy", "joy", (0.2,) * 5)  # 3/15
    below = ScoredUtterance("u2", "d1", "joy", "sad", (0.2, 0.2, 0.15, 0.2, 0.25))
    together = calibration(predictions([on_edge, below]))
    assert together is not None
    assert together.ece == pytest.approx(abs((1 - 0.2) + (0 - 0.15)) / 2)


def test_certainty_is_calibrated_when_right_and_finite_when_wrong():
    right = ScoredUtterance("u1", "d1", "joy", "joy", LABELS.one_hot("joy"))
    wrong = ScoredUtterance("u2", "d1", "sad", "joy", LABELS.one_hot("joy"))
    perfect, worst = (
        calibration(predictions([right])),
        calibration(predictions([wrong])),
    )
    assert perfect is not None
    assert worst is not None
    assert (perfect.brier, perfect.ece) == (0, 0)
    assert (worst.brier, worst.ece) == (2, 1)
    assert perfect.log_loss == pytest.approx(0, abs=1e-12)
    assert math.isfinite(worst.log_loss)


def test_without_distributions_there_is_no_calibration():
    assert calibration(predictions([ScoredUtterance("u1", "d1", "joy", "joy")])) is None


@pytest.mark.parametrize(
    "distribution",
    [(1.0,), (0.5, 0.4, 0.0, 0.0, 0.0), (1.5, -0.5, 0.0, 0.0, 0.0), (math.nan, 1.0, 0.0, 0.0, 0.0)],
)
def test_what_is_no_distribution_is_refused(distribution):
    wrong = ScoredUtterance("u7", "d1", "joy", "joy", distribution)
    with pytest.raises(DataError, match=r"'u7'.*distribution.*expected 5 probabilities"):
        calibration(predictions([wrong]))
