"""Other systems' predictions join the vote."""

import json
from dataclasses import replace

import pytest

from ragemo.errors import DataError, RunFolderError
from ragemo.pipeline import make_plan
from ragemo.retrieval.index import Index
from ragemo.settings import Settings
from ragemo.voting.imported import read_ballots
from tests.conftest import LABELS, FakeEmbedder
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import (
    NO_INDEX,
    WORDS,
    ask_all,
    asked_of,
    chance,
    decided,
    gold_of,
    mostly_right,
    settings_with,
    telling_corpus,
)

TRAIN = telling_corpus(12, 6, "train")
TEST = telling_corpus(12, 6, "test")
GOLD = gold_of(TRAIN, TEST)
ON_TEST = [u.id for u in TEST.utterances]
ON_TRAIN = [u.id for u in TRAIN.utterances]


@pytest.fixture(scope="module")
def index():
    return Index.build(TRAIN, FakeEmbedder())


@pytest.fixture(scope="module")
def alone(index, tmp_path_factory):
    run = ask_all(TEST, tmp_path_factory.mktemp("alone") / "run", Settings(), index=index)
    return [verdict.label for verdict in run.verdicts()]


def labels_of(run):
    return [verdict.label for verdict in run.verdicts()]


def right(labels):
    return sum(one == GOLD[name] for one, name in zip(labels, ON_TEST, strict=True)) / len(labels)


def good(name):
    """A label that is right in about 87 of 100 cases."""
    if chance("knows", name) < 800 and name in GOLD:
        return GOLD[name]
    return LABELS.names[chance("guesses", name) % 3]


def file_with(tmp_path, names, says=good, name="audio.csv"):
    path = tmp_path / name
    path.write_text("id,label\n" + "".join(f"{name},{says(name)}\n" for name in names))
    return read_ballots(path, LABELS)


def test_a_system_that_was_tried_on_labelled_windows_is_weighed_by_them(tmp_path, index, alone):
    audio = file_with(tmp_path, [*ON_TRAIN, *ON_TEST])
    run = ask_all(TEST, tmp_path / "r", Settings(), index=index, imported=[audio])
    assert asked_of(run, "audio") == sorted((name, 0) for name in ON_TEST)
    assert asked_of(run, "audio", "check") == sorted((name, 0) for name in ON_TRAIN)
    (record,) = run.panels()
    (weighed,) = record["weighed"]
    assert (weighed["by"], weighed["windows"]) == ("labelled windows", len(ON_TRAIN))
    assert abs(weighed["accuracy"] - 0.87) < 0.08
    assert weighed["weight"] > 0.8
    assert right(labels_of(run)) > right(alone) + 0.03
    assert run.manifest["imported"] == [{"voters": ["audio"], "sha256": audio.sha256}]


def test_a_system_that_was_not_is_weighed_by_its_agreement(tmp_path):
    # Beliefs have to be calibrated to be agreed with, which takes some windows.
    index = Index.build(telling_corpus(36, 6, "train"), FakeEmbedder())
    alone = labels_of(ask_all(TEST, tmp_path / "alone", Settings(), index=index))

    def guesses(name):
        return LABELS.names[chance("guesses", name) % 3]

    found = {}
    for name, says in (("audio", good), ("guessing", guesses)):
        file = file_with(tmp_path, ON_TEST, says, f"{name}.csv")
        run = ask_all(TEST, tmp_path / name, Settings(), index=index, imported=[file])
        ((weighed,),) = [record["weighed"] for record in run.panels()]
        assert (weighed["by"], weighed["windows"]) == ("agreement", len(ON_TEST))
        found[name] = (weighed["weight"], labels_of(run))
    weight, labels = found["audio"]
    assert 0.2 < weight <= 0.6
    assert right(labels) >= right(alone)
    weight, labels = found["guessing"]
    assert weight < 0.1
    changed = [one != other for one, other in zip(labels, alone, strict=True)]
    assert sum(changed) <= 0.05 * len(changed)


def test_probabilities_count_and_several_systems_and_a_model_vote_together(tmp_path, index):
    path = tmp_path / "both.jsonl"
    lines = []
    for name in [*ON_TRAIN, *ON_TEST]:
        shares = {label: 0.2 + 0.4 * (label == good(name)) for label in LABELS.names}
        lines.append({"id": name, "system": "probable", "distribution": shares})
        lines.append({"id": name, "system": "silent" if chance(name) % 2 else "bare"})
        lines[-1]["label"] = GOLD[name]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = ask_all(
        TEST,
        tmp_path / "r",
        Settings(),
        index=index,
        llm=FakeLLM(mostly_right(GOLD)),
        imported=[read_ballots(path, LABELS)],
    )
    (record,) = run.panels()
    assert [one["voter"] for one in record["weighed"]] == ["bare", "fake", "probable", "silent"]
    assert all(one["by"] == "labelled windows" for one in record["weighed"])
    cast = [b for b in run.ballots() if b.utterance_id == "test0_0" and b.purpose == "verdict"]
    assert len(cast) == 3 + 1 + 2
    assert next(b for b in cast if b.voter == "probable").distribution == pytest.approx(
        [0.6 if label == good("test0_0") else 0.2 for label in LABELS.names]
    )
    assert right(labels_of(run)) > 0.95


def test_ids_that_are_missing_or_not_asked_for_are_told_and_do_no_harm(tmp_path, index):
    names = [*ON_TEST[:50], *ON_TRAIN[:9], "elsewhere_1", "elsewhere_2"]
    audio = file_with(tmp_path, names)
    plan = make_plan(TEST, Settings(), index=index, embedder=FakeEmbedder(), imported=[audio])
    told = "\n".join(plan.notes)
    assert "'audio' has no row on 22 of the 72 utterances to predict" in told
    assert "Ids of labelled utterances, on which it can be weighed: 9." in told
    assert "passed over: 2 ('elsewhere_1', 'elsewhere_2')" in told
    run = ask_all(TEST, tmp_path / "r", Settings(), index=index, imported=[audio])
    assert len(asked_of(run, "audio")) == 50
    assert len(asked_of(run, "audio", "check")) == 9
    # Where it is silent the others decide as they do without it.
    assert len(run.verdicts()) == len(ON_TEST)
    assert all(verdict.label for verdict in run.verdicts())


def test_a_file_on_nothing_that_is_asked_for_is_refused(tmp_path, index):
    elsewhere = file_with(tmp_path, ["elsewhere_1"], lambda name: "hap")
    with pytest.raises(DataError, match="none of its ids is to be predicted"):
        ask_all(TEST, tmp_path / "r", Settings(), index=index, imported=[elsewhere])
    assert not (tmp_path / "r").exists()


def test_a_system_alone_decides_without_an_index_and_a_model(tmp_path):
    run = ask_all(TEST, tmp_path / "r", NO_INDEX, imported=[file_with(tmp_path, ON_TEST)])
    # What it leans to as a whole is taken off, so a few labels may differ from its own.
    same = [label == good(name) for label, name in zip(labels_of(run), ON_TEST, strict=True)]
    assert sum(same) > 0.9 * len(same)
    settings = settings_with(retrieval__k=0, voting__calibration="none", voting__dialogue="none")
    run = ask_all(TEST, tmp_path / "raw", settings, imported=[file_with(tmp_path, ON_TEST)])
    assert labels_of(run) == [good(name) for name in ON_TEST]


def test_ballots_on_the_index_s_own_dialogues_tell_its_worth(tmp_path, index):
    """Its predictions on the training file: verdicts there, and no label of the same fold."""
    audio = file_with(tmp_path, ON_TRAIN)
    run = ask_all(TRAIN, tmp_path / "r", Settings(), index=index, imported=[audio])
    assert asked_of(run, "audio", "check") == []
    parts = run.parts()
    for place, record in enumerate(run.panels()):
        (weighed,) = record["weighed"]
        assert weighed["by"] == "labelled windows"
        assert weighed["windows"] == len(ON_TRAIN) - parts.count(place)


def test_a_run_with_imported_ballots_is_taken_up_again_as_it_was(tmp_path, index):
    audio = file_with(tmp_path, [*ON_TRAIN[:20], *ON_TEST])
    settings = settings_with(limit=10)
    others = {"index": index, "imported": [audio]}
    ask_all(TEST, tmp_path / "r", settings, llm=FakeLLM(mostly_right(GOLD)), **others)
    before = decided(tmp_path / "r")
    file = tmp_path / "r" / "ballots.jsonl"
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:7]))
    ask_all(TEST, tmp_path / "r", settings, llm=FakeLLM(mostly_right(GOLD)), resume=True, **others)
    assert decided(tmp_path / "r") == before
    assert sorted(file.read_bytes().splitlines(keepends=True)) == sorted(whole)


def test_another_file_is_another_run(tmp_path, index):
    one = file_with(tmp_path, ON_TEST)
    ask_all(TEST, tmp_path / "r", Settings(), index=index, imported=[one])
    path = tmp_path / "audio.csv"
    other = file_with(tmp_path, ON_TEST, lambda name: WORDS[0])
    renamed = replace(read_ballots(path, LABELS, name="video"), sha256=one.sha256)
    for imported in ([other], [renamed], []):
        with pytest.raises(RunFolderError, match="imported"):
            ask_all(TEST, tmp_path / "r", Settings(), index=index, imported=imported, resume=True)
