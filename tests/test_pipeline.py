import asyncio
import csv

import pytest

from ragemo.corpus import read_corpus
from ragemo.errors import DataError, EndpointError, RunFolderError, SettingsError
from ragemo.labels import LabelSet
from ragemo.pipeline import NEIGHBOURS, carry_out, estimate, make_plan, predict
from ragemo.retrieval.index import Index
from ragemo.runs.run import Run
from ragemo.runs.scores import RETRIEVAL_ONLY, score_run
from ragemo.settings import Settings, resolve_settings
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM, user_text

WORDS = LABELS.words
ROWS = [
    {
        "dialogue": f"{'abc'[number // 8]}",
        "text": f"words number {number}",
        "emotion": LABELS.names[number * number % 3],
        "speaker": "AB"[number % 2],
    }
    for number in range(24)
]
NO_INDEX = resolve_settings({}, {"retrieval.k": 0})


@pytest.fixture
def corpus():
    return make_corpus(ROWS)


@pytest.fixture
def index():
    return Index.build(
        make_corpus([{**row, "dialogue": f"train {row['dialogue']}"} for row in ROWS]),
        FakeEmbedder(),
    )


def ask_all(corpus, out, settings=NO_INDEX, **others):
    return predict(corpus, settings, out, embedder=FakeEmbedder(), **others)


def varied(prompt, sample):
    return WORDS[(len(prompt.utterance_id) + int(prompt.utterance_id[2:]) + sample) % 3]


def test_every_file_of_a_run_but_the_ballots_is_the_same_the_second_time(tmp_path, corpus, index):
    settings = resolve_settings({}, {"llm.samples": 3})
    for name in ("one", "two"):
        ask_all(corpus, tmp_path / name, settings, index=index, llm=FakeLLM(varied))
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [
        "ballots.jsonl",
        "manifest.json",
        "predictions.csv",
        "utterances.jsonl",
        "verdicts.jsonl",
    ]
    for name in names:
        one, two = ((tmp_path / run / name).read_bytes() for run in ("one", "two"))
        if name == "ballots.jsonl":
            # Answers come in any order.
            one, two = sorted(one.splitlines()), sorted(two.splitlines())
        assert one == two


def test_samples_are_votes(tmp_path, corpus):
    settings = resolve_settings({}, {"retrieval.k": 0, "llm.samples": 4})
    answers = ("happy", "ANGRY!", "happy", "no idea")
    run = ask_all(corpus, tmp_path / "r", settings, llm=FakeLLM(lambda p, sample: answers[sample]))
    for verdict in run.verdicts():
        assert verdict.label == "hap"
        assert verdict.distribution == (0, 2 / 3, 1 / 3)
        assert verdict.confidence == verdict.agreement == 2 / 3
        assert (verdict.invalid, verdict.failed) == (1, 0)


def test_the_index_is_a_voter_beside_the_model_and_only_the_model_decides(tmp_path, corpus, index):
    run = ask_all(corpus, tmp_path / "r", Settings(), index=index, llm=FakeLLM(lambda p, s: "joy"))
    assert {verdict.label for verdict in run.verdicts()} == {"hap"}
    voters = [ballot.voter for ballot in run.ballots()]
    assert voters.count(NEIGHBOURS) == voters.count("fake") == len(ROWS)
    score = score_run(run, samples=10)
    alone = ask_all(corpus, tmp_path / "alone", Settings(), index=index)
    baseline = score.baselines[RETRIEVAL_ONLY]
    by_itself = score_run(alone, samples=10)
    assert baseline["accuracy"] == by_itself.accuracy != score.accuracy
    assert baseline["weighted_f1"] == by_itself.weighted_f1
    assert RETRIEVAL_ONLY not in by_itself.baselines


def test_an_utterance_that_failed_is_asked_again_alone(tmp_path, corpus):
    def fails(prompt, sample):
        return None if prompt.utterance_id in ("a_1", "b_3") else "angry"

    settings = resolve_settings({}, {"retrieval.k": 0, "llm.samples": 2})
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
            ("label", "confidence", *LABELS.names),
            ("", "0.000000", "", "", ""),
        }
    second = FakeLLM()
    ask_all(corpus, tmp_path / "r", llm=second, resume=True)
    assert second.asked == []


def test_limit_takes_the_first_utterances_and_keeps_the_dialogues_whole(tmp_path):
    rows = [dict(row, needs_prediction=number % 4 != 1) for number, row in enumerate(ROWS)]
    corpus = make_corpus(rows)
    wanted = [u.id for u in corpus.utterances if u.needs_prediction]
    settings = resolve_settings({}, {"retrieval.k": 0, "limit": 7, "prompt.context": None})
    llm = FakeLLM()
    run = ask_all(corpus, tmp_path / "r", settings, llm=llm)
    assert [verdict.utterance_id for verdict in run.verdicts()] == wanted[:7]
    assert sorted(prompt.utterance_id for prompt in llm.prompts) == sorted(wanted[:7])
    assert len(run.utterances) == len(ROWS)
    assert [u.turn.utterance_id for u in run.utterances if u.predicted] == wanted[:7]
    last = next(prompt for prompt in llm.prompts if prompt.utterance_id == "b_0")
    assert "number 7" not in user_text(last)
    assert score_run(run, samples=10).n == 7


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
    run = ask_all(corpus, tmp_path / "r", Settings(), index=index)
    assert [verdict.utterance_id for verdict in run.verdicts()] == [f"u{n}" for n in range(5)]
    with pytest.raises(DataError, match="gold label"):
        score_run(run)


def test_what_has_no_gold_label_is_left_out_of_the_score_and_counted(tmp_path, index):
    corpus = make_corpus([{**row, "emotion": None} if n < 5 else row for n, row in enumerate(ROWS)])
    score = score_run(ask_all(corpus, tmp_path / "r", Settings(), index=index), samples=10)
    assert score.n == len(ROWS) - 5
    assert score.notes[0].startswith("5 predicted utterances")


def test_an_estimate_counts_what_is_then_asked(corpus, index, tmp_path):
    settings = resolve_settings({}, {"llm.samples": 3, "llm.max_answer_tokens": 5})
    llm = FakeLLM()
    plan = make_plan(corpus, settings, index=index, embedder=FakeEmbedder(), llm=llm)
    expected = estimate(plan, settings, llm)
    assert llm.prompts == []
    assert expected.utterances == len(ROWS)
    assert expected.answers == 3 * len(ROWS)
    assert expected.answer_tokens == 5 * 3 * len(ROWS)
    assert expected.prompt_tokens == sum(prompt.tokens for prompt in plan.prompts) > 0
    assert expected.cost == pytest.approx(
        0.001 * expected.prompt_tokens + 0.002 * expected.answer_tokens
    )
    assert expected.exact is False
    carry_out(plan, settings, tmp_path / "r", llm=llm)
    assert len(llm.asked) == expected.answers


def test_a_small_budget_drops_demonstrations_and_says_so(corpus, index):
    settings = resolve_settings({}, {"prompt.max_tokens": 90})
    llm = FakeLLM()
    plan = make_plan(corpus, settings, index=index, embedder=FakeEmbedder(), llm=llm)
    expected = estimate(plan, settings, llm)
    assert expected.dropped_demonstrations == sum(8 - len(p.demonstrations) for p in plan.prompts)
    assert expected.dropped_demonstrations > 0
    assert all(prompt.tokens <= 90 for prompt in plan.prompts)


def test_more_than_eight_neighbours_vote_however_few_are_shown(corpus, index):
    votes = [
        make_plan(
            corpus,
            resolve_settings({}, {"retrieval.k": k}),
            index=index,
            embedder=FakeEmbedder(),
            llm=FakeLLM(),
        )
        for k in (0, 3)
    ]
    assert votes[0].neighbour_ballots == votes[1].neighbour_ballots
    assert {len(prompt.demonstrations) for prompt in votes[0].prompts} == {0}
    assert {len(prompt.demonstrations) for prompt in votes[1].prompts} == {3}


def test_context_counts_in_retrieval_as_the_settings_say(corpus, index):
    def found(**retrieval):
        settings = resolve_settings({"retrieval": retrieval})
        plan = make_plan(corpus, settings, index=index, embedder=FakeEmbedder())
        return {
            target: [(d.window.target.utterance_id, round(d.similarity, 4)) for d in shown]
            for target, shown in plan.demonstrations.items()
        }

    assert found() == found(context_weight=0.3, context_decay=0.6, context_length=8)
    assert found(context_weight=0) == found(context_weight=0, context_length=2)
    assert found() != found(context_weight=0)
    assert found() != found(context_decay=0.1)
    assert found() != found(context_length=1)
    # Where context does not count, the same words stand first.
    assert all(
        shown[0] == (f"train {name}", 1.0) for name, shown in found(context_weight=0).items()
    )


def test_exact_duplicates_can_be_shut_out(corpus, index):
    settings = resolve_settings({"retrieval": {"exclude_duplicates": True, "k": 30}})
    plan = make_plan(corpus, settings, index=index, embedder=FakeEmbedder())
    texts = {u.turn.utterance_id: u.turn.text for u in plan.utterances}
    for target, shown in plan.demonstrations.items():
        assert len(shown) == len(ROWS) - 1
        assert texts[target] not in [d.window.target.text for d in shown]


def test_nobody_to_vote_is_refused(corpus, index, tmp_path):
    with pytest.raises(SettingsError, match="nobody votes"):
        ask_all(corpus, tmp_path / "r", NO_INDEX)
    with pytest.raises(SettingsError, match=r"retrieval\.k is 8.*--index.*--k 0"):
        ask_all(corpus, tmp_path / "r", Settings(), llm=FakeLLM())
    with pytest.raises(SettingsError, match="embedder"):
        predict(corpus, Settings(), tmp_path / "r", index=index)
    assert list(tmp_path.iterdir()) == []


def test_an_index_of_other_labels_is_refused(index, tmp_path):
    other = LabelSet.from_dict({"name": "other", "labels": ["neu", "joy"]})
    corpus = make_corpus([{"dialogue": "a", "text": "x", "emotion": "joy"}], other)
    with pytest.raises(SettingsError, match=r"'a_0'.*'joy'.*'three'"):
        ask_all(corpus, tmp_path / "r", Settings(), index=index)
    assert list(tmp_path.iterdir()) == []


REFUSED = EndpointError("the key was not accepted")


def test_where_no_call_can_succeed_no_folder_is_in_the_way_of_the_next_try(tmp_path, corpus, index):
    settings = Settings()
    for out in (tmp_path / "new", tmp_path / "empty"):
        with pytest.raises(EndpointError, match="not accepted"):
            ask_all(corpus, out, settings, index=index, llm=FakeLLM(fate=(0, REFUSED)))
        assert not out.exists()
        assert ask_all(corpus, out, settings, index=index, llm=FakeLLM()).verdicts()


def test_what_was_answered_before_a_refusal_is_kept(tmp_path, corpus):
    with pytest.raises(EndpointError, match="not accepted"):
        ask_all(corpus, tmp_path / "r", llm=FakeLLM(varied, fate=(5, REFUSED)))
    kept = {(b.utterance_id, b.sample) for b in Run.open(tmp_path / "r").ballots()}
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


def test_a_notebook_s_event_loop_is_no_obstacle(tmp_path, corpus):
    async def cell():
        return ask_all(corpus, tmp_path / "r", llm=FakeLLM(varied))

    assert len(asyncio.run(cell()).verdicts()) == len(ROWS)


def test_a_model_that_never_waits_can_be_interrupted(tmp_path, corpus):
    class Local(FakeLLM):
        concurrency = 1

        async def ask(self, prompt, labels, samples):
            self.asked.append(prompt.utterance_id)
            if len(self.asked) == 3:
                asyncio.get_running_loop().call_soon(task.cancel)
            return []

    async def run():
        from ragemo.llm.ask import _ask_all

        questions = [(prompt, [0]) for prompt in plan.prompts]
        await _ask_all(llm, questions, LABELS, store.append, print)

    async def main():
        nonlocal task
        task = asyncio.create_task(run())
        with pytest.raises(asyncio.CancelledError):
            await task

    task = None
    llm = Local()
    plan = make_plan(corpus, NO_INDEX, llm=llm)
    with Run.create(tmp_path / "r", plan.manifest, plan.utterances) as store:
        asyncio.run(main())
    assert len(llm.asked) < 6


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
