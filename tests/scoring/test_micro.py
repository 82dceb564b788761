import pytest
from hypothesis import given, settings
from sklearn.metrics import f1_score

from ragemo.labels import LabelSet, load_labels
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.metrics import METRICS, accuracy, headline, metrics_of, micro_f1
from ragemo.scoring.score import score
from tests.scoring.inputs import LABELS, invented, pairs, predictions, utterances


@given(pairs)
@settings(deadline=None)
def test_micro_f1_agrees_with_scikit_learn(rows):
    gold = [g for g, _, _ in rows]
    predicted = ["(no label)" if p is None else p for _, p, _ in rows]
    found = headline(
        dialogue_confusions(predictions(utterances(rows))).sum(axis=0),
        metrics_of(LABELS),
    )
    for name, names in (
        ("micro_f1", list(LABELS.names)),
        ("micro_f1_without_neutral", [n for n in LABELS.names if n != "neutral"]),
    ):
        expected = f1_score(gold, predicted, labels=names, average="micro", zero_division=0)
        assert found[name] == pytest.approx(expected, abs=1e-9)


@given(pairs.filter(lambda rows: all(p is not None for _, p, _ in rows)))
@settings(deadline=None)
def test_where_every_prediction_has_a_label_it_is_the_accuracy(rows):
    counts = dialogue_confusions(predictions(utterances(rows))).sum(axis=0)
    assert float(micro_f1(counts)) == pytest.approx(float(accuracy(counts)), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "neutral"), [("gensec", "neu"), ("emorynlp", "Neutral"), ("meld", "neutral")]
)
def test_neutral_is_found_by_any_of_its_spellings(name, neutral):
    labels = load_labels(name)
    rows = [(neutral, neutral, d) for d in range(4)] + [(labels.names[1], neutral, 4)]
    result = score(predictions(utterances(rows), labels), training_counts=None)
    expected = f1_score(
        [g for g, _, _ in rows],
        [p for _, p, _ in rows],
        labels=[n for n in labels.names if n != neutral],
        average="micro",
        zero_division=0,
    )
    assert result.micro_f1 == pytest.approx(4 / 5)
    assert result.micro_f1_without_neutral == expected == 0


def test_a_set_without_neutral_has_no_such_figure():
    labels = LabelSet.from_dict({"name": "two", "labels": ["good", "bad"]})
    result = score(predictions(invented(40, 4, labels=labels), labels), training_counts=None)
    assert result.micro_f1_without_neutral is None
    assert "micro_f1_without_neutral" not in result.metrics
    assert result.to_dict()["micro_f1_without_neutral"] is None
    assert type(result).from_dict(result.to_dict()) == result


def test_intervals_and_baselines_have_them_too():
    result = score(predictions(invented(300, 30)), training_counts={"joy": 3})
    extra = {"micro_f1", "micro_f1_without_neutral"}
    assert set(result.intervals) == {*METRICS, *extra}
    for metrics in result.baselines.values():
        assert set(metrics) == {*METRICS, *extra}
    low, high = result.intervals["micro_f1_without_neutral"]
    assert low < result.micro_f1_without_neutral < high
