"""Deciding anew on ballots that are there."""

import csv
import shutil
from dataclasses import replace
from typing import NamedTuple

import pytest

from ragemo.errors import RunFolderError, SettingsError
from ragemo.pipeline import vote
from ragemo.report.figures import panels_data
from ragemo.retrieval.index import Index
from ragemo.runs.run import Run
from ragemo.runs.scores import NO_SETS, score_run
from ragemo.settings import Settings
from ragemo.voting.imported import read_ballots
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import (
    NO_INDEX,
    WORDS,
    WarmLLM,
    ask_all,
    chance,
    decided,
    gold_of,
    mostly_right,
    settings_with,
    telling_corpus,
    telling_rows,
)

TRAIN = telling_corpus(12, 6, "train")
TEST = telling_corpus(12, 6, "test")
GOLD = gold_of(TRAIN, TEST)


@pytest.fixture(scope="module")
def index():
    return Index.build(TRAIN, FakeEmbedder())


@pytest.fixture(scope="module")
def asked(index, tmp_path_factory):
    """A run in which a good model was asked."""
    out = tmp_path_factory.mktemp("asked") / "run"
    return ask_all(TEST, out, Settings(), index=index, llm=FakeLLM(mostly_right(GOLD)))


class Asked(NamedTuple):
    """What `mostly_right` wants to know of a prompt."""

    utterance_id: str


def labels_of(run):
    return [verdict.label for verdict in run.verdicts()]


def right(run):
    return sum(v.label == GOLD[v.utterance_id] for v in run.verdicts()) / len(run.verdicts())


def test_the_same_ballots_and_index_give_the_same_verdicts(asked, index, tmp_path):
    again = vote([asked], Settings(), tmp_path / "again", index=index, embedder=FakeEmbedder())
    for name in ("verdicts.jsonl", "predictions.csv", "panel.json"):
        assert decided(again.path)[name] == decided(asked.path)[name], name


def test_without_the_index_the_run_s_own_weights_decide(asked, tmp_path):
    again = vote([asked], Settings(), tmp_path / "again")
    assert labels_of(again) == labels_of(asked)
    assert [v.distribution for v in again.verdicts()] == [v.distribution for v in asked.verdicts()]


def test_what_was_found_asked_and_warned_of_goes_along(asked, tmp_path):
    again = vote([asked], Settings(), tmp_path / "again")
    assert again.prompts() == asked.prompts()
    assert again.demonstrations() == asked.demonstrations()
    assert any(again.demonstrations().values())
    warned = Run(asked.path, {**asked.manifest, "notes": ["mind the twins"]})
    assert vote([warned], Settings(), tmp_path / "warned").manifest["notes"] == ["mind the twins"]


def test_only_the_voters_that_are_named_count(asked, index, tmp_path):
    how = settings_with(voting__voters=["words"])
    words = vote([asked], how, tmp_path / "words", index=index, embedder=FakeEmbedder())
    assert set(words.panels()[0]["panel"]["weights"]) == {"words"}
    how = settings_with(voting__voters=["fake"], voting__pool="majority")
    model = vote([asked], how, tmp_path / "model", index=index, embedder=FakeEmbedder())
    own = {
        b.utterance_id: b for b in asked.ballots() if b.voter == "fake" and b.purpose == "verdict"
    }
    said = [LABELS.names[own[v.utterance_id].distribution.index(1)] for v in model.verdicts()]
    assert labels_of(model) == said


def test_two_runs_of_one_model_are_two_voters(asked, index, tmp_path):
    second = ask_all(
        TEST, tmp_path / "second", Settings(), index=index, llm=FakeLLM(mostly_right(GOLD, 0.7))
    )
    both = vote(
        [asked, second], Settings(), tmp_path / "both", index=index, embedder=FakeEmbedder()
    )
    assert {"fake", "fake of second"} <= set(both.panels()[0]["panel"]["weights"])
    assert right(both) >= right(asked) - 0.05


def test_models_of_several_runs_join_without_an_index(tmp_path):
    def knows(words):
        return lambda prompt, sample: (
            GOLD[prompt.utterance_id]
            if chance(words, prompt.utterance_id) < 700
            else WORDS[chance("else", words, prompt.utterance_id) % 3]
        )

    runs = [
        ask_all(TEST, tmp_path / name, NO_INDEX, llm=WarmLLM(0.7, name, say=knows(name)))
        for name in ("one", "two", "three")
    ]
    for pool in ("log", "mean", "dawid-skene", "majority"):
        how = settings_with(voting__pool=pool)
        pooled = vote(runs, how, tmp_path / f"pooled-{pool}")
        assert right(pooled) > max(right(run) for run in runs), pool


def test_a_file_joins_a_run(index, tmp_path):
    asked = ask_all(TEST, tmp_path / "alone", Settings(), index=index)
    file = tmp_path / "good.csv"
    say = mostly_right(GOLD)
    said = {u.id: say(Asked(u.id), 0) for u in (*TEST.utterances, *TRAIN.utterances)}
    file.write_text("id,label\n" + "".join(f"{name},{label}\n" for name, label in said.items()))
    joined = vote(
        [asked],
        Settings(),
        tmp_path / "joined",
        index=index,
        embedder=FakeEmbedder(),
        imported=[read_ballots(file, LABELS)],
    )
    weighed = joined.panels()[0]["weighed"][0]
    assert (weighed["by"], weighed["windows"]) == ("labelled windows", len(TRAIN.utterances))
    assert weighed["weight"] > 0.3
    assert right(joined) > right(asked)
    assert joined.manifest["imported"][0]["voters"] == ["good"]
    assert joined.manifest["runs"][0]["run"] == asked.path.name


def test_where_a_file_was_tried_on_few_windows_no_label_set_is_promised_and_that_is_said(
    index, tmp_path
):
    asked = ask_all(TEST, tmp_path / "alone", Settings(), index=index)
    file = tmp_path / "good.csv"
    say = mostly_right(GOLD)
    said = {u.id: say(Asked(u.id), 0) for u in (*TEST.utterances, *TRAIN.utterances[:8])}
    file.write_text("id,label\n" + "".join(f"{name},{label}\n" for name, label in said.items()))
    joined = vote(
        [asked],
        Settings(),
        tmp_path / "joined",
        index=index,
        embedder=FakeEmbedder(),
        imported=[read_ballots(file, LABELS)],
    )
    for run, has_sets in ((asked, True), (joined, False)):
        (record,) = run.panels()
        assert (record["panel"]["threshold"] is not None) == has_sets
        assert all(bool(verdict.label_set) == has_sets for verdict in run.verdicts())
        with (run.path / "predictions.csv").open(newline="") as table:
            assert all(bool(row["label_set"]) == has_sets for row in csv.DictReader(table))
        score = score_run(run, samples=5)
        assert (score.label_sets is not None) == has_sets
        assert (NO_SETS in score.notes) != has_sets
        assert panels_data(run)[0]["has_sets"] == has_sets


def test_its_manifest_says_where_the_ballots_come_from(asked, index, tmp_path):
    made = vote([asked], Settings(), tmp_path / "made", index=index, embedder=FakeEmbedder())
    assert made.manifest["llm"] is None
    assert made.manifest["runs"][0]["llm"] == {"model": "fake"}
    assert made.manifest["index"]["fingerprint"] == index.fingerprint


def test_runs_on_other_utterances_are_refused(asked, tmp_path):
    other = ask_all(telling_corpus(3, 3, "other"), tmp_path / "other", NO_INDEX, llm=FakeLLM())
    with pytest.raises(SettingsError, match="different utterances"):
        vote([asked, other], Settings(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_answers_on_windows_of_another_index_with_the_same_ids_do_not_weigh(asked, tmp_path):
    """Many corpora number each of their splits from 0."""
    rows = [
        row | {"dialogue": row["dialogue"].replace("other", "train")}
        for row in telling_rows(12, 6, "other")
    ]
    corpus = replace(make_corpus(rows), sha256="2" * 64)
    assert {u.id for u in corpus.utterances} == {u.id for u in TRAIN.utterances}
    other = Index.build(corpus, FakeEmbedder())
    pooled = vote([asked], Settings(), tmp_path / "out", index=other, embedder=FakeEmbedder())
    (weighed,) = pooled.panels()[0]["weighed"]
    assert weighed["by"] == "agreement"
    assert [note for note in pooled.manifest["notes"] if "weighed by agreement" in note]


def test_what_is_not_finished_is_not_pooled(asked, index, tmp_path):
    shutil.copytree(asked.path, tmp_path / "half")
    (tmp_path / "half/verdicts.jsonl").unlink()
    for given in (index, None):
        with pytest.raises(RunFolderError, match="the run is not finished"):
            vote([Run.open(tmp_path / "half")], Settings(), tmp_path / "out", index=given)
    assert not (tmp_path / "out").exists()


def test_runs_on_more_utterances_and_fewer_are_told(asked, tmp_path):
    some = NO_INDEX.model_copy(update={"limit": 10})
    fewer = ask_all(TEST, tmp_path / "ten", some, llm=FakeLLM())
    pooled = vote([fewer, asked], Settings(), tmp_path / "out")
    assert len(pooled.verdicts()) == 10
    said = "run predicts 72 utterances, ten 10; verdicts are on those of ten"
    assert said in pooled.manifest["notes"]


def test_a_run_is_not_written_over(asked, index, tmp_path):
    with pytest.raises(RunFolderError, match="already holds a run"):
        vote([asked], Settings(), asked.path, index=index, embedder=FakeEmbedder())


def test_leaving_out_needs_the_index_again(index, tmp_path):
    run = ask_all(TRAIN, tmp_path / "own", Settings(), index=index)
    with pytest.raises(SettingsError, match="give the index, too"):
        vote([run], Settings(), tmp_path / "out")
    again = vote([run], Settings(), tmp_path / "again", index=index, embedder=FakeEmbedder())
    assert labels_of(again) == labels_of(run)
