"""A run from beginning to end: what it leaves, and what becomes of faults on the way."""

import asyncio
import csv
from dataclasses import replace

import pytest

from ragemo.corpus import read_corpus
from ragemo.errors import DataError, EndpointError, ModelError, RunFolderError
from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.runs.run import Run
from ragemo.runs.scores import INDEX_ALONE, score_run
from ragemo.settings import Settings, resolve_settings
from tests.conftest import LABELS, make_corpus
from tests.fake_llm import FakeLLM, user_text
from tests.pipeline.inputs import (
    ROWS,
    SELF_CONSISTENCY,
    ask_all,
    asked_of,
    mostly_right,
    settings_with,
    varied,
)

FILES = [
    "ballots.jsonl",
    "examples.jsonl",
    "manifest.json",
    "panel.json",
    "predictions.csv",
    "prompts.jsonl",
    "review.csv",
    "utterances.jsonl",
    "verdicts.jsonl",
]


# -- what it leaves --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        {"llm.samples": 3},
        {"llm.samples": 4, "voting.vary": ["context", "demos"], "voting.pool": "mean"},
        {"voting.pool": "dawid-skene", "voting.calibration": "contextual"},
        {"voting.pool": "majority", "voting.dialogue": "viterbi"},
    ],
)
def test_every_file_of_a_run_but_the_ballots_is_the_same_the_second_time(
    tmp_path, corpus, index, overrides
):
    settings = resolve_settings({}, overrides)
    for name in ("one", "two"):
        llm = FakeLLM(varied)
        # Answers overtake one another otherwise the second time.
        llm.concurrency = {"one": 3, "two": 7}[name]
        ask_all(corpus, tmp_path / name, settings, index=index, llm=llm)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == FILES
    for name in FILES:
        one, two = ((tmp_path / run / name).read_bytes() for run in ("one", "two"))
        if name == "ballots.jsonl":
            assert one != two
            one, two = sorted(one.splitlines()), sorted(two.splitlines())
        assert one == two, name


def test_samples_are_votes(tmp_path, corpus):
    settings = resolve_settings({}, SELF_CONSISTENCY | {"llm.samples": 4, "voting.stop": "none"})
    answers = ("happy", "ANGRY!", "happy", "no idea")
    run = ask_all(corpus, tmp_path / "r", settings, llm=FakeLLM(lambda p, sample: answers[sample]))
    for verdict in run.verdicts():
        assert verdict.label == "hap"
        assert verdict.distribution == pytest.approx((0, 2 / 3, 1 / 3))
        assert verdict.confidence == pytest.approx(2 / 3)
        assert verdict.agreement == pytest.approx(2 / 3)
        assert (verdict.invalid, verdict.failed) == (1, 0)


def test_the_index_s_voters_and_the_model_are_pooled(tmp_path, corpus, index):
    llm = FakeLLM(lambda p, s: "joy")
    run = ask_all(corpus, tmp_path / "r", Settings(), index=index, llm=llm)
    voters = [ballot.voter for ballot in run.ballots() if ballot.purpose == "verdict"]
    assert {voter: voters.count(voter) for voter in voters} == dict.fromkeys(
        ("neighbours", "probe", "words", "fake"), len(ROWS)
    )
    # One that says the same of everything has nothing to say.
    alone = ask_all(corpus, tmp_path / "alone", Settings(), index=index)
    assert [v.label for v in run.verdicts()] == [v.label for v in alone.verdicts()]
    # Who wants the model alone may have it.
    settings = resolve_settings({}, SELF_CONSISTENCY | {"retrieval.k": 8})
    run = ask_all(corpus, tmp_path / "majority", settings, index=index, llm=llm)
    assert {verdict.label for verdict in run.verdicts()} == {"hap"}


def test_the_score_compares_with_the_index_alone(tmp_path, corpus, index):
    gold = {u.id: u.emotion for u in corpus.utterances}
    gold |= {f"train {name}": label for name, label in gold.items()}
    llm = FakeLLM(mostly_right(gold, 1.0))
    run = ask_all(corpus, tmp_path / "r", Settings(), index=index, llm=llm)
    score = score_run(run, samples=10)
    alone = score_run(ask_all(corpus, tmp_path / "alone", Settings(), index=index), samples=10)
    baseline = score.baselines[INDEX_ALONE]
    assert baseline["accuracy"] == alone.accuracy < score.accuracy
    assert baseline["weighted_f1"] == alone.weighted_f1
    assert INDEX_ALONE not in alone.baselines


def test_a_verdict_of_little_confidence_is_left_to_a_person(tmp_path, corpus, index):
    sure = ask_all(corpus, tmp_path / "sure", Settings(), index=index).verdicts()
    assert not any(verdict.abstained for verdict in sure)
    limit = sorted(verdict.confidence for verdict in sure)[5]
    settings = settings_with(voting__abstain_below=limit)
    run = ask_all(corpus, tmp_path / "r", settings, index=index)
    verdicts = run.verdicts()
    assert (
        [v.utterance_id for v in verdicts if v.abstained]
        == [v.utterance_id for v in sure if v.confidence < limit]
        != []
    )
    assert [v.label for v in verdicts] == [v.label for v in sure]
    with (run.path / "predictions.csv").open() as file:
        marked = {row["id"]: row["abstained"] for row in csv.DictReader(file)}
    assert marked == {v.utterance_id: "yes" if v.abstained else "" for v in verdicts}


# -- odd corpora -----------------------------------------------------------------------------------


def test_without_any_words_there_is_a_label_all_the_same(tmp_path, index):
    silent = make_corpus([dict(row, text=" ") for row in ROWS])
    run = ask_all(silent, tmp_path / "alone", Settings(), index=index)
    assert all(verdict.label in LABELS.names for verdict in run.verdicts())
    run = ask_all(silent, tmp_path / "asked", Settings(), index=index, llm=FakeLLM(varied))
    assert all(verdict.label in LABELS.names for verdict in run.verdicts())
    # One utterance without words still has its context.
    one = make_corpus([dict(row, text="" if n == 3 else row["text"]) for n, row in enumerate(ROWS)])
    llm = FakeLLM(varied)
    run = ask_all(one, tmp_path / "one", Settings(), index=index, llm=llm)
    assert len(run.verdicts()) == len(ROWS)
    silent_prompt = next(prompt for prompt in llm.prompts if prompt.utterance_id == "a_3")
    assert "number 2" in user_text(silent_prompt)


def test_a_file_without_labels_is_predicted_and_its_score_refused(tmp_path, index):
    rows = ["id,dialogue_id,turn,speaker,text\n"]
    rows += [f"u{n},d,{n},A,words number {n}\n" for n in range(5)]
    (tmp_path / "unlabelled.csv").write_text("".join(rows))
    corpus = read_corpus(tmp_path / "unlabelled.csv", labels=LABELS)
    run = ask_all(corpus, tmp_path / "r", Settings(), index=index, llm=FakeLLM(varied))
    assert [verdict.utterance_id for verdict in run.verdicts()] == [f"u{n}" for n in range(5)]
    with pytest.raises(DataError, match="gold label"):
        score_run(run)


def test_what_has_no_gold_label_is_left_out_of_the_score_and_counted(tmp_path, index):
    corpus = make_corpus([{**row, "emotion": None} if n < 5 else row for n, row in enumerate(ROWS)])
    score = score_run(ask_all(corpus, tmp_path / "r", Settings(), index=index), samples=10)
    assert score.n == len(ROWS) - 5
    assert score.notes[0].startswith("5 predicted utterances")


def test_nothing_to_predict_is_an_empty_run(tmp_path, index):
    corpus = make_corpus([{**row, "needs_prediction": False} for row in ROWS])
    llm = FakeLLM()
    run = ask_all(corpus, tmp_path / "r", Settings(), index=index, llm=llm)
    assert (run.verdicts(), llm.asked) == ([], [])
    assert len(run.utterances) == len(ROWS)


# -- answers that are none -------------------------------------------------------------------------


def test_an_utterance_that_failed_is_asked_again_alone(tmp_path, corpus):
    def fails(prompt, sample):
        return None if prompt.utterance_id in ("a_1", "b_3") else "angry"

    settings = resolve_settings({}, SELF_CONSISTENCY | {"llm.samples": 2})
    run = ask_all(corpus, tmp_path / "r", settings, llm=FakeLLM(fails))
    failed = [verdict for verdict in run.verdicts() if verdict.failed]
    assert [(v.utterance_id, v.label, v.failed) for v in failed] == [
        ("a_1", None, 2),
        ("b_3", None, 2),
    ]
    assert score_run(run, samples=10).errors == 2

    second = FakeLLM(lambda prompt, sample: "angry")
    run = ask_all(corpus, tmp_path / "r", settings, llm=second, resume=True)
    assert sorted(second.asked) == [("a_1", 0), ("a_1", 1), ("b_3", 0), ("b_3", 1)]
    assert {verdict.label for verdict in run.verdicts()} == {"ang"}
    assert len(run.ballots()) == 2 * len(ROWS)


def test_an_answer_that_is_no_label_is_invalid_and_not_asked_again(tmp_path, corpus):
    run = ask_all(corpus, tmp_path / "r", llm=FakeLLM(lambda p, s: "hungry"))
    score = score_run(run, samples=10)
    assert (score.invalid, score.errors) == (len(ROWS), 0)
    with (tmp_path / "r" / "predictions.csv").open() as file:
        assert {tuple(row[1:]) for row in csv.reader(file)} == {
            ("label", "confidence", *LABELS.names, "label_set", "abstained"),
            ("", "0.000000", "", "", "", "", ""),
        }
    second = FakeLLM()
    ask_all(corpus, tmp_path / "r", llm=second, resume=True)
    assert second.asked == []


def test_where_the_model_has_no_answer_the_index_decides(tmp_path, corpus, index):
    alone = ask_all(corpus, tmp_path / "alone", Settings(), index=index)
    for name, answer in (("failed", None), ("invalid", "hungry")):
        llm = FakeLLM(lambda p, s, answer=answer: answer)
        run = ask_all(corpus, tmp_path / name, Settings(), index=index, llm=llm)
        for verdict, other in zip(run.verdicts(), alone.verdicts(), strict=True):
            assert verdict.distribution == other.distribution
            assert getattr(verdict, name) == 1


# -- faults ----------------------------------------------------------------------------------------

REFUSED = EndpointError("the key was not accepted")


@pytest.mark.parametrize("checks", [0, 5])
def test_where_no_call_can_succeed_no_folder_is_in_the_way_of_the_next_try(
    tmp_path, corpus, index, checks
):
    settings = settings_with(voting__checks=checks)
    for out in (tmp_path / "new", tmp_path / "empty"):
        with pytest.raises(EndpointError, match="not accepted"):
            ask_all(corpus, out, settings, index=index, llm=FakeLLM(fate=(0, REFUSED)))
        assert not out.exists()
        assert ask_all(corpus, out, settings, index=index, llm=FakeLLM()).verdicts()


def test_what_was_answered_before_a_refusal_is_kept(tmp_path, corpus):
    with pytest.raises(EndpointError, match="not accepted"):
        ask_all(corpus, tmp_path / "r", llm=FakeLLM(varied, fate=(5, REFUSED)))
    kept = set(asked_of(Run.open(tmp_path / "r")))
    assert kept
    second = FakeLLM(varied)
    run = ask_all(corpus, tmp_path / "r", llm=second, resume=True)
    assert not kept & set(second.asked)
    assert kept | set(second.asked) == {(v.utterance_id, 0) for v in run.verdicts()}
    # Nor does a refusal on the way take away what is there.
    second.fate = (0, REFUSED)
    ask_all(corpus, tmp_path / "r", llm=second, resume=True)
    assert Run.open(tmp_path / "r").verdicts()


def test_any_other_fault_of_a_call_comes_through_as_it_is(tmp_path, corpus):
    with pytest.raises(ZeroDivisionError):
        ask_all(corpus, tmp_path / "r", llm=FakeLLM(fate=(3, ZeroDivisionError())))


class BrokenLLM(FakeLLM):
    """A model of somebody's own: one utterance gets shares that do not add up to 1."""

    async def ask(self, prompt, labels, samples):
        ballots = await super().ask(prompt, labels, samples)
        if prompt.utterance_id != "b_3":
            return ballots
        return [replace(ballot, distribution=(0.5, 0.5, 0.5)) for ballot in ballots]


@pytest.mark.parametrize("cached", [False, True])
def test_a_model_of_one_s_own_that_gives_no_distribution_is_told_so_and_costs_no_answer(
    tmp_path, corpus, cached
):
    cache = AnswerCache(tmp_path / "answers.sqlite") if cached else None
    with pytest.raises(ModelError, match="fake gave a ballot on 'b_3' that cannot be kept"):
        ask_all(corpus, tmp_path / "r", llm=BrokenLLM(varied), cache=cache)
    kept = set(asked_of(Run.open(tmp_path / "r")))
    assert ("b_3", 0) not in kept
    mended = FakeLLM(varied)
    run = ask_all(corpus, tmp_path / "r", llm=mended, cache=cache, resume=True)
    assert kept
    assert kept | set(mended.asked) == {(v.utterance_id, 0) for v in run.verdicts()}
    assert not kept & set(mended.asked)


def test_a_notebook_s_event_loop_is_no_obstacle(tmp_path, corpus, index):
    async def cell():
        return ask_all(corpus, tmp_path / "r", Settings(), index=index, llm=FakeLLM(varied))

    assert len(asyncio.run(cell()).verdicts()) == len(ROWS)


def test_a_run_is_never_written_over(tmp_path, corpus):
    ask_all(corpus, tmp_path / "r", llm=FakeLLM())
    llm = FakeLLM()
    with pytest.raises(RunFolderError, match="--resume"):
        ask_all(corpus, tmp_path / "r", llm=llm)
    (tmp_path / "file").touch()
    for resume in (False, True):
        with pytest.raises(RunFolderError, match="file exists and is not a run"):
            ask_all(corpus, tmp_path / "file", llm=llm, resume=resume)
    assert llm.asked == []
