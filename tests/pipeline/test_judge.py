"""Ballots become verdicts: a voter counts for what it adds to the index."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from ragemo.labels import LabelSet
from ragemo.retrieval.index import Index
from ragemo.settings import Settings, resolve_settings
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import (
    SELF_CONSISTENCY,
    WORDS,
    ScoringLLM,
    WarmLLM,
    ask_all,
    chance,
    gold_of,
    mostly_right,
    settings_with,
    telling_corpus,
    varied,
)

TRAIN = telling_corpus(20, 6, "train")
TEST = telling_corpus(20, 6, "test")
GOLD = gold_of(TRAIN, TEST)


@pytest.fixture(scope="module")
def index():
    return Index.build(TRAIN, FakeEmbedder())


@pytest.fixture(scope="module")
def decide(index, tmp_path_factory):
    """A run on TEST, decided with the index."""

    def run(llm=None, others=(), **overrides):
        out = tmp_path_factory.mktemp("run") / "run"
        settings = settings_with(**overrides)
        return ask_all(TEST, out, settings, index=index, llm=llm, others=others)

    return run


@pytest.fixture(scope="module")
def alone(decide):
    """The labels by the index's own voters, for each pool."""
    return {
        pool: [verdict.label for verdict in decide(voting__pool=pool).verdicts()]
        for pool in ("log", "mean", "dawid-skene")
    }


def right(labels):
    return sum(label == GOLD[u.id] for label, u in zip(labels, TEST.utterances, strict=True)) / len(
        labels
    )


def weight_of(run, voter="fake"):
    (record,) = run.panels()
    (weighed,) = [one for one in record["weighed"] if one["voter"] == voter]
    assert record["panel"]["weights"][voter] == weighed["weight"]
    return weighed["weight"]


# -- what a voter is worth -------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["log", "mean", "dawid-skene"])
def test_a_model_that_is_mostly_right_leads(decide, alone, pool):
    run = decide(FakeLLM(mostly_right(GOLD)), llm__samples=3, voting__pool=pool)
    labels = [verdict.label for verdict in run.verdicts()]
    assert weight_of(run) > 0.9
    assert right(labels) > max(right(alone[pool]) + 0.05, 0.9)
    ((weighed,),) = [record["weighed"] for record in run.panels()]
    assert (weighed["by"], weighed["windows"]) == ("labelled windows", 64)
    assert abs(weighed["accuracy"] - 0.87) < 0.1  # 0.8, and a third of the rest by chance


@pytest.mark.parametrize(("salt", "samples"), [(0, 1), (1, 1), (1, 5), (2, 5)])
def test_a_model_that_answers_at_random_leaves_the_index_s_labels(decide, alone, salt, samples):
    """In nine of ten cases at least; those that change were close."""
    llm = FakeLLM(lambda p, s: WORDS[chance("lot", salt, p.utterance_id, s) % 3])
    run = decide(llm, llm__samples=samples, voting__stop="none")
    labels = [verdict.label for verdict in run.verdicts()]
    changed = [one != other for one, other in zip(labels, alone["log"], strict=True)]
    assert sum(changed) <= 0.1 * len(labels)
    assert right(labels) > right(alone["log"]) - 0.05
    assert weight_of(run) < 0.35


@pytest.mark.parametrize(
    "llm",
    [
        FakeLLM(lambda prompt, sample: "angry"),
        ScoringLLM(lambda prompt: (-0.1, -4.0, -3.0)),
        # Worse than chance: what it says is no sign of anything.
        FakeLLM(lambda p, s: WORDS[(LABELS.index(GOLD[p.utterance_id]) + 1) % 3]),
    ],
    ids=["one label", "one distribution", "always wrong"],
)
def test_a_model_that_knows_nothing_changes_next_to_nothing(decide, alone, llm):
    run = decide(llm)
    labels = [verdict.label for verdict in run.verdicts()]
    changed = [one != other for one, other in zip(labels, alone["log"], strict=True)]
    assert sum(changed) <= 0.05 * len(labels)


def test_a_leaning_to_one_label_is_taken_off(decide):
    """It says neutral of everything, and a little more or less so."""

    def scores(prompt):
        return [
            (-0.1 if name == "neu" else -2.0) + (name == GOLD[prompt.utterance_id])
            for name in LABELS.names
        ]

    run = decide(ScoringLLM(scores))
    (record,) = run.panels()
    base = record["panel"]["bases"]["fake"]
    assert base.index(max(base)) == LABELS.index("neu")
    assert right([verdict.label for verdict in run.verdicts()]) == 1.0
    raw = decide(ScoringLLM(scores), voting__calibration="none")
    assert "fake" not in raw.panels()[0]["panel"]["bases"]


def test_of_several_models_each_counts_for_itself(decide):
    good, bad = FakeLLM(mostly_right(GOLD)), WarmLLM(0.7, "second")
    run = decide(bad, [good], llm__samples=2, voting__vary=["model"], voting__stop="none")
    assert weight_of(run) > 0.9 > 0.2 > weight_of(run, "second")


# -- who votes -------------------------------------------------------------------------------------


def test_the_majority_of_one_model_is_self_consistency(decide):
    def says(prompt, sample):
        return ("happy", "angry", "angry", "neutral", "happy", "happy", "none")[
            (sample + chance(prompt.utterance_id)) % 7
        ]

    overrides = {
        **{name.replace(".", "__"): value for name, value in SELF_CONSISTENCY.items()},
        "voting__stop": "none",
    }
    run = decide(FakeLLM(says), llm__samples=7, **overrides)
    for verdict in run.verdicts():
        assert verdict.label == "hap"
        assert verdict.distribution == pytest.approx((1 / 6, 3 / 6, 2 / 6))
        assert (verdict.agreement, verdict.invalid) == (pytest.approx(0.5), 1)


def test_only_those_that_are_named_count(decide):
    run = decide(voting__voters=["words"], voting__dialogue="none", voting__correction=0)
    (record,) = run.panels()
    ((voter, weight),) = record["panel"]["weights"].items()
    assert voter == "words"
    own = {b.utterance_id: b.distribution for b in run.ballots() if b.voter == "words"}
    assert {ballot.voter for ballot in run.ballots()} == {"neighbours", "probe", "words"}
    prior = np.array(record["panel"]["prior"])
    for verdict in run.verdicts():
        shares = prior * (np.array(own[verdict.utterance_id]) / prior) ** weight
        assert verdict.distribution == pytest.approx(shares / shares.sum(), abs=1e-6)


def test_a_review_tells_of_those_who_have_a_say(decide):
    run = decide(FakeLLM(lambda p, s: "angry"), llm__samples=2)
    (record,) = run.panels()
    table = (run.path / "review.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(table)))
    assert {row["utterance_id"] for row in rows} == {u.id for u in TEST.utterances}
    confidences = [float(row["confidence"]) for row in rows]
    assert confidences == sorted(confidences)
    told = " ".join(row["reasons"] for row in rows)
    assert "voters disagree: " in told
    for voter, weight in record["panel"]["weights"].items():
        assert (f"{voter} neu" in told or f"{voter} ang" in told) == (weight > 0), voter


def test_silence_and_unlikeness_are_reasons_to_look(index, tmp_path):
    rows = [{"dialogue": "x", "text": text} for text in ("w1n1 w1n2", "", "never heard of")]
    run = ask_all(make_corpus(rows), tmp_path / "r", Settings(), index=index)
    table = (run.path / "review.csv").read_text(encoding="utf-8-sig")
    reasons = {row["utterance_id"]: row["reasons"] for row in csv.DictReader(io.StringIO(table))}
    assert "the transcript is empty" in reasons["x_1"]
    assert "the transcript is empty" not in reasons["x_0"] + reasons["x_2"]


# -- small worlds ----------------------------------------------------------------------------------


def test_an_index_of_one_dialogue_decides_by_what_little_it_knows(tmp_path):
    one = Index.build(telling_corpus(1, 6, "train"), FakeEmbedder())
    run = ask_all(TEST, tmp_path / "alone", Settings(), index=one)
    assert all(verdict.label in LABELS.names for verdict in run.verdicts())
    llm = FakeLLM(mostly_right(GOLD))
    run = ask_all(TEST, tmp_path / "asked", Settings(), index=one, llm=llm)
    (record,) = run.panels()
    assert [one["by"] for one in record["weighed"]] == ["agreement"]


def test_without_an_index_the_model_s_evidence_decides(tmp_path):
    llm = FakeLLM(mostly_right(GOLD))
    run = ask_all(TEST, tmp_path / "r", resolve_settings({}, {"retrieval.k": 0}), llm=llm)
    (record,) = run.panels()
    assert record["index_alone"] is None
    assert record["panel"]["prior"] == pytest.approx([1 / 3] * 3)
    assert right([verdict.label for verdict in run.verdicts()]) > 0.8


def test_labels_of_a_set_of_two_are_enough(tmp_path):
    two = LabelSet.from_dict({"name": "two", "labels": ["neu", "hap"]})

    def only_two(corpus):
        return replace(
            corpus,
            labels=two,
            dialogues=tuple(
                replace(
                    d,
                    utterances=tuple(
                        replace(u, needs_prediction=u.emotion in two.names) for u in d.utterances
                    ),
                )
                for d in corpus.dialogues
            ),
        )

    index = Index.build(only_two(TRAIN), FakeEmbedder())
    run = ask_all(only_two(TEST), tmp_path / "r", Settings(), index=index, llm=FakeLLM(varied))
    assert {len(verdict.distribution) for verdict in run.verdicts()} == {2}
