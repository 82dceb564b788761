import pytest

from ragemo.errors import DataError, SettingsError
from ragemo.labels import LabelSet, load_labels
from ragemo.runs.compare import compare_runs
from ragemo.runs.records import AskedPrompt
from ragemo.runs.scores import condition_of, run_names, score_run
from ragemo.runs.slices import SLICES
from ragemo.types import Ballot, Message, Prompt
from tests.scoring.runs import MELD, invented_run, make_run, utterance


def test_a_run_has_all_slices_and_their_accuracies_add_up(tmp_path):
    result = score_run(invented_run(tmp_path / "run"), samples=20)
    assert list(result.slices) == list(SLICES)
    for groups in result.slices.values():
        assert sum(group.n for group in groups) == result.n == 120
        hits = sum(group.n * group.accuracy for group in groups)
        assert hits == pytest.approx(result.n * result.accuracy)


def test_only_predicted_utterances_with_a_gold_label_are_scored(tmp_path):
    made = [utterance(0, predicted=False), utterance(1, "joy"), utterance(2, None)]
    result = score_run(make_run(tmp_path / "run", made, lambda one: "joy"), samples=5)
    assert (result.n, result.accuracy) == (1, 1)
    assert [(group.group, group.n) for group in result.slices["turn"]] == [("2-5", 1)]
    assert any("no gold label" in note for note in result.notes)


def test_a_score_has_its_slices(tmp_path):
    result = score_run(invented_run(tmp_path / "run", count=1_000), samples=20)
    assert sum(map(len, result.slices.values())) > 20


def test_runs_are_compared_by_the_names_of_their_folders(tmp_path):
    runs = [invented_run(tmp_path / name, seed=place) for place, name in enumerate("abc")]
    found = compare_runs(runs, samples=50)
    assert (found.baseline, [system.name for system in found.systems]) == ("a", ["b", "c"])
    scores = [score_run(run, samples=5) for run in runs]
    for system, own in zip(found.systems, scores[1:], strict=True):
        difference = own.accuracy - scores[0].accuracy
        assert system.metrics["accuracy"].difference == pytest.approx(difference)
        fixed_less_broken = system.mcnemar.fixed - system.mcnemar.broken
        assert fixed_less_broken == pytest.approx(120 * difference)


def test_what_must_be_known_of_a_run_is_told_of_the_runs_that_it_is_true_of(tmp_path):
    runs = [
        invented_run(tmp_path / "a", notes=["twins"]),
        invented_run(tmp_path / "b", notes=["twins"], uses_reference_transcripts=True),
    ]
    notes = compare_runs(runs, samples=5).notes
    assert "a, b: twins" in notes
    assert any(note.startswith("b: reference transcripts were used") for note in notes)


def test_a_limited_run_is_compared_on_what_both_have_if_asked(tmp_path):
    runs = [invented_run(tmp_path / str(count), count=count) for count in (60, 40)]
    with pytest.raises(DataError, match=r"share 40, but 60 has 60, 40 has 40"):
        compare_runs(runs)
    assert compare_runs(runs, common=True, samples=5).n == 40


def test_runs_of_other_labels_are_refused(tmp_path):
    other = load_labels("gensec")
    made = [utterance(0, "neu")]
    runs = [
        invented_run(tmp_path / "meld"),
        make_run(tmp_path / "gensec", made, lambda one: "neu", other),
    ]
    with pytest.raises(DataError, match=r"gensec has the labels neu, .*meld has neutral"):
        compare_runs(runs)


def test_runs_of_the_same_labels_in_another_order_are_compared(tmp_path):
    turned = LabelSet.from_dict({"name": "turned", "labels": list(MELD.names[::-1])})
    made = [utterance(n, "joy" if n % 3 else "anger", dialogue_id=f"d{n // 2}") for n in range(6)]
    runs = [
        make_run(tmp_path / labels.name, made, lambda one: "joy", labels)
        for labels in (MELD, turned)
    ]
    (system,) = compare_runs(runs, samples=5).systems
    assert (system.both_right, system.both_wrong, system.wrong_otherwise) == (4, 2, 0)
    assert not any(one.difference for one in system.metrics.values())


def test_a_comparison_needs_two(tmp_path):
    for runs in ([], [invented_run(tmp_path / "run")]):
        with pytest.raises(SettingsError, match="at least two runs"):
            compare_runs(runs)


def test_one_run_twice_is_refused_and_folders_of_one_name_are_told_apart(tmp_path):
    one = invented_run(tmp_path / "x/run")
    two = invented_run(tmp_path / "y/run", seed=2)
    with pytest.raises(SettingsError, match="named twice"):
        run_names([one, two, one])
    names = run_names([one, two])
    assert names == ["x/run", "y/run"]


@pytest.mark.parametrize(
    ("changes", "corpus", "transcript"),
    [
        ({}, "meld", "written"),
        ({"corpus": {"file": "f", "format": "plain", "sha256": ""}}, "meld", ""),
        ({"corpus": {"file": "f", "format": "gensec", "sha256": ""}}, None, "ASR"),
        ({"uses_reference_transcripts": True}, "meld", "reference"),
    ],
)
def test_what_a_run_was_measured_on_is_read_from_its_manifest(
    tmp_path, changes, corpus, transcript
):
    run = make_run(tmp_path / "run", [utterance(0)], lambda one: "joy", MELD, **changes)
    found = condition_of(run)
    assert (found.corpus, found.transcript) == (corpus, transcript)
    assert bool(found.reason) == (corpus is None)


@pytest.mark.parametrize(
    ("voters", "counting", "shown", "training"),
    [
        (["probe", "words"], None, None, "index only"),
        (["m"], None, (), "zero-shot"),
        (["m", "probe"], None, (), "zero-shot + index"),
        (["m", "probe"], None, ("d_9",), "in-context + index"),
        (["m", "probe"], ["m"], ("d_9",), "in-context"),
        (["m", "probe"], ["probe"], ("d_9",), "index only"),
        (["probe", "audio"], None, None, "index only + imported votes"),
        (["audio"], None, None, "imported votes"),
    ],
)
def test_who_decided_is_read_from_ballots_and_prompts(tmp_path, voters, counting, shown, training):
    asked = Prompt("d_0", (Message("user", "?"),), 1)
    run = make_run(
        tmp_path / "run",
        [utterance(0)],
        lambda one: "joy",
        ballots=[Ballot("d_0", voter) for voter in voters],
        prompts=[] if shown is None else [AskedPrompt(asked, "m", (0,), shown=shown)],
        # As `ragemo vote` leaves it: nobody was asked.
        llm=None,
        settings={"retrieval": {"k": 8}, "limit": None, "voting": {"voters": counting}},
    )
    assert condition_of(run).training == training
