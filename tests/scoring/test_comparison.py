import json
from dataclasses import replace

import pytest

from ragemo.errors import DataError, SettingsError
from ragemo.scoring.comparison import compare
from ragemo.scoring.paired import paired_differences
from ragemo.scoring.score import score
from ragemo.scoring.significance import holm
from tests.scoring.inputs import invented, predictions, utterances

BASE = invented(150, 15)
BETTER = [replace(u, predicted=u.gold) if n % 4 == 0 else u for n, u in enumerate(BASE)]
WORSE = [replace(u, predicted="fear") if n % 3 == 0 else u for n, u in enumerate(BASE)]
SYSTEMS = {"base": BASE, "better": BETTER, "worse": WORSE}


def compared(systems, **how):
    return compare({name: predictions(own) for name, own in systems.items()}, **how)


def test_figures_are_those_of_the_scores_and_differences_those_of_the_paired_bootstrap():
    found = compared(SYSTEMS, samples=200, seed=4)
    assert (found.baseline, found.n, found.dialogues) == ("base", 150, 15)
    base = score(predictions(BASE), training_counts=None)
    assert found.baseline_metrics == pytest.approx(base.metrics)
    for system in found.systems:
        own = SYSTEMS[system.name]
        expected = paired_differences(predictions(own), predictions(BASE), samples=200, seed=4)
        metrics = score(predictions(own), training_counts=None).metrics
        for name, difference in expected.items():
            one = system.metrics[name]
            assert one.value == pytest.approx(metrics[name])
            assert one.difference == pytest.approx(metrics[name] - base.metrics[name])
            assert (one.low, one.high) == pytest.approx((difference.low, difference.high))


def test_utterances_fixed_and_broken_are_counted():
    base = utterances(
        [("joy", p, n // 2) for n, p in enumerate(["joy", "joy", "sad", "sad", None, "fear"])]
    )
    says = ["joy", "sad", "joy", "fear", None, "joy"]
    other = [replace(u, predicted=p) for u, p in zip(base, says, strict=True)]
    found = compared({"a": base, "b": other[::-1]}, samples=10).systems[0]
    assert (found.mcnemar.fixed, found.mcnemar.broken) == (2, 1)
    assert (found.both_right, found.both_wrong, found.wrong_otherwise) == (1, 2, 1)


def test_p_values_are_adjusted_over_the_systems():
    found = compared(SYSTEMS, samples=200)
    for metric in found.baseline_metrics:
        values = [system.metrics[metric].p for system in found.systems]
        assert [system.metrics[metric].p_holm for system in found.systems] == holm(values)
    tests = [system.mcnemar.p for system in found.systems]
    assert [system.mcnemar_holm for system in found.systems] == holm(tests)
    alone = compared({"base": BASE, "worse": WORSE}, samples=200).systems[0]
    assert all(one.p == one.p_holm for one in alone.metrics.values())
    assert alone.metrics["accuracy"].p < alone.metrics["accuracy"].p + 0.1 <= 1


def test_other_utterances_are_refused_with_how_many_are_shared():
    part = {"all of it": BASE, "some": BETTER[:100]}
    with pytest.raises(
        DataError, match=r"share 100, but all of it has 150, some has 100.*--common"
    ):
        compared(part)
    found = compared(part, common=True, samples=20)
    expected = compared({"all of it": BASE[:100], "some": BETTER[:100]}, samples=20)
    assert found.n == 100
    assert found.systems == expected.systems
    assert "100 utterances that all have" in found.notes[0]
    assert expected.notes == ()


def test_nothing_in_common_is_refused_even_then():
    other = [replace(u, id=f"x{u.id}") for u in BASE]
    with pytest.raises(DataError, match="share no scored utterance"):
        compared({"a": BASE, "b": other}, common=True)


@pytest.mark.parametrize("change", [{"gold": "fear"}, {"dialogue_id": "elsewhere"}])
def test_other_gold_labels_or_dialogues_are_refused(change):
    base = [replace(u, gold="joy") for u in BASE]
    other = [replace(base[0], **change), *base[1:]]
    with pytest.raises(DataError, match=r"'u0'.*same corpus"):
        compared({"a": base, "b": other})


def test_one_system_is_no_comparison():
    with pytest.raises(SettingsError, match="at least two"):
        compared({"a": BASE})


def test_one_dialogue_has_no_interval():
    base = utterances([("joy", "joy", 0), ("sad", "joy", 0)])
    found = compared({"a": base, "b": base}, samples=10)
    assert found.systems[0].metrics["accuracy"].low is None
    assert "at least two dialogues" in found.notes[0]


def test_it_is_plain_data():
    data = compared(SYSTEMS, samples=20).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert [system["name"] for system in data["systems"]] == ["better", "worse"]
