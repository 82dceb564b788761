"""Weights fitted on a run with gold labels."""

import json

import pytest

from ragemo.errors import DataError, SettingsError
from ragemo.pipeline import calibrate, predict, vote
from ragemo.retrieval.index import Index
from ragemo.settings import Settings, VotingSettings
from ragemo.voting.imported import read_ballots
from tests.conftest import LABELS, FakeEmbedder
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import (
    NO_INDEX,
    ask_all,
    gold_of,
    mostly_right,
    settings_with,
    telling_corpus,
)

TRAIN = telling_corpus(12, 6, "train")
DEV = telling_corpus(20, 6, "dev")
TEST = telling_corpus(20, 6, "test")
GOLD = gold_of(TRAIN, DEV, TEST)


@pytest.fixture(scope="module")
def index():
    return Index.build(TRAIN, FakeEmbedder())


def contrary(path, corpus):
    """A system that always says the label after the gold one: useless unless it is understood."""
    rows = []
    for u in corpus.utterances:
        label = LABELS.names[(LABELS.names.index(u.emotion) + 1) % 3]
        shares = [0.8 if name == label else 0.1 for name in LABELS.names]
        rows.append(f"{u.id}," + ",".join(map(str, shares)) + "\n")
    path.write_text("id," + ",".join(LABELS.names) + "\n" + "".join(rows))
    return read_ballots(path, LABELS)


@pytest.fixture(scope="module")
def run(index, tmp_path_factory):
    """A run on DEV with a good model and a contrary system."""
    folder = tmp_path_factory.mktemp("dev")
    return predict(
        DEV,
        Settings(),
        folder / "run",
        index=index,
        embedder=FakeEmbedder(),
        llm=FakeLLM(mostly_right(GOLD)),
        imported=[contrary(folder / "contrary.csv", DEV)],
    )


def right(run):
    return sum(v.label == GOLD[v.utterance_id] for v in run.verdicts()) / len(run.verdicts())


def test_a_voter_that_misleads_gets_no_weight_and_a_good_one_does(run):
    found = calibrate(run, VotingSettings())
    assert found.panel.weights["contrary"] == 0
    assert found.panel.weights["fake"] > 0.3


def test_dawid_and_skene_understand_a_voter_that_is_always_wrong(run, index, tmp_path):
    found = calibrate(run, VotingSettings(pool="dawid-skene"))
    found.write(tmp_path / "weights.json")
    settings = settings_with(
        voting__pool="dawid-skene", voting__weights=str(tmp_path / "weights.json")
    )
    others = {"index": index, "embedder": FakeEmbedder()}
    imported = [contrary(tmp_path / "contrary.csv", TEST)]
    after = predict(TEST, settings, tmp_path / "after", imported=imported, **others)
    before = predict(TEST, Settings(), tmp_path / "before", imported=imported, **others)
    assert right(after) > 0.95 > right(before)


def test_the_gain_is_on_dialogues_that_were_not_fitted_on(run):
    gain = calibrate(run, VotingSettings()).gain["accuracy"]
    assert gain["low"] <= gain["difference"] <= gain["high"]


def test_nothing_is_gained_from_labels_drawn_by_lot(index, tmp_path):
    """A fit that could see the labels it is tried on would seem to gain."""
    lot = telling_corpus(30, 6, "lot", noise=100)
    run = ask_all(lot, tmp_path / "run", Settings(), index=index, llm=FakeLLM(mostly_right({}, 0)))
    gain = calibrate(run, VotingSettings()).gain["accuracy"]
    assert gain["low"] <= 0.03


def test_it_is_used_elsewhere_and_refused_where_it_was_fitted(run, index, tmp_path):
    calibrate(run, VotingSettings()).write(tmp_path / "weights.json")
    settings = settings_with(voting__weights=str(tmp_path / "weights.json"))
    after = ask_all(TEST, tmp_path / "test", settings, index=index, llm=FakeLLM(mostly_right(GOLD)))
    assert after.panels()[0]["panel"]["weights"]["fake"] == pytest.approx(
        calibrate(run, VotingSettings()).panel.weights["fake"]
    )
    for corpus, name in ((DEV, "dev"), (DEV, "again")):
        with pytest.raises(SettingsError, match="fitted on 20 of the dialogues"):
            ask_all(corpus, tmp_path / name, settings, index=index, llm=FakeLLM())
        assert not (tmp_path / name).exists()
    with pytest.raises(SettingsError, match="fitted on 20 of the dialogues"):
        vote([run], settings, tmp_path / "voted", index=index, embedder=FakeEmbedder())


def test_the_file_is_small_readable_and_the_same_each_time(run, tmp_path):
    for name in ("one.json", "two.json"):
        calibrate(run, VotingSettings()).write(tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    data = json.loads((tmp_path / "one.json").read_text())
    assert data["labels"] == list(LABELS.names)
    assert set(data["fitted_on"]) == {f"dev{n}" for n in range(20)}
    assert (tmp_path / "one.json").stat().st_size < 20_000


def test_too_few_labels_are_refused(tmp_path):
    small = telling_corpus(2, 6, "small")
    run = ask_all(small, tmp_path / "run", NO_INDEX, llm=FakeLLM())
    with pytest.raises(DataError, match="12 utterances in 2 dialogues"):
        calibrate(run, VotingSettings())


def test_without_an_index_models_are_fitted_too(tmp_path):
    run = ask_all(DEV, tmp_path / "run", NO_INDEX, llm=FakeLLM(mostly_right(GOLD)))
    assert calibrate(run, VotingSettings()).panel.weights["fake"] > 0.3
