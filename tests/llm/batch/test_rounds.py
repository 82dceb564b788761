"""A run by batch is the run online, round by round, and pays for each answer once."""

from dataclasses import replace

import pytest

from ragemo.errors import PendingError, RunFolderError, SettingsError
from ragemo.llm.budget import Budget, BudgetError
from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.llm.openai_model import OpenAIModel
from ragemo.pipeline import predict
from ragemo.settings import resolve_settings
from tests.conftest import make_corpus
from tests.fake_llm import FakeLLM
from tests.llm.asking import KEY
from tests.llm.batch.conftest import BUSY, CORPUS, NO_WAIT, WAIT, answers, derived, run_by_batch

WORDY = {"answers": ["Well, I think that"]}
"""Of an endpoint that passes over a grammar: all are asked again, by a JSON schema."""


def ids(endpoint):
    return [request["custom_id"] for request in endpoint.requests]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"llm__samples": 5},
        {"llm__samples": 4, "voting__vary": ("context",), "voting__stop": "hard"},
        {"voting__calibration": "contextual", "llm__samples": 2},
    ],
)
def test_a_run_by_batch_is_the_run_online(endpoint, tmp_path, settings):
    online = run_by_batch(endpoint, tmp_path / "online", None, **settings)
    assert endpoint.chats > 0
    before = endpoint.chats
    by_batch = run_by_batch(endpoint, tmp_path / "batch", **settings)
    assert endpoint.chats == before
    assert answers(by_batch) == answers(online)
    assert derived(tmp_path / "batch") == derived(tmp_path / "online")
    assert len(ids(endpoint)) == len(set(ids(endpoint)))
    usages = [ballot.usage for ballot in by_batch.ballots()]
    assert sum(usage.prompt_tokens for usage in usages) == 100 * len(ids(endpoint))


def test_without_stopping_all_is_one_round(endpoint, tmp_path):
    settings = {"llm__samples": 3, "voting__vary": ("context",), "voting__stop": "none"}
    run_by_batch(endpoint, tmp_path / "run", **settings)
    assert len(endpoint.batches) == 1


def test_fewer_answers_than_asked_for_leave_the_others_to_the_next_file(endpoint, tmp_path):
    endpoint.script(at_most=2)
    run = run_by_batch(endpoint, tmp_path / "run", llm__samples=5, voting__stop="none")
    assert [len(batch["requests"]) for batch in endpoint.batches] == [6, 12]
    assert sorted(ballot.sample for ballot in run.ballots()) == sorted([*range(5)] * 6)


@pytest.mark.parametrize(("at_most", "settled_early"), [(1, True), (2, True), (3, False)])
def test_what_is_heard_depends_on_what_calls_bring_and_not_on_what_was_known_of_it(
    endpoint, tmp_path, monkeypatch, at_most, settled_early
):
    endpoint.script(answers=["happy", "happy", "angry"], at_most=at_most)
    settings = {"llm__samples": 5, "voting__stop": "hard"}
    monkeypatch.setenv("RAGEMO_ENDPOINTS", str(tmp_path / "endpoints.json"))
    unknown = run_by_batch(endpoint, tmp_path / "unknown", None, **settings)
    model = OpenAIModel("some-model", base_url=endpoint.url)
    model.learning.learn(replace(model.capabilities, largest_n=at_most))
    known = run_by_batch(endpoint, tmp_path / "known", None, **settings)
    monkeypatch.setenv("RAGEMO_ENDPOINTS", "")
    by_batch = run_by_batch(endpoint, tmp_path / "batch", **settings)
    assert answers(unknown) == answers(known) == answers(by_batch)
    assert (len(known.ballots()) < 5 * len(CORPUS.utterances)) == settled_early
    assert derived(tmp_path / "unknown") == derived(tmp_path / "known")
    assert derived(tmp_path / "unknown") == derived(tmp_path / "batch")


@pytest.mark.parametrize(("answered", "requests"), [(6, 6), (5, 7)])
def test_an_answer_that_is_on_its_way_with_others_is_not_asked_for_again_by_itself(
    endpoint, tmp_path, monkeypatch, answered, requests
):
    """The endpoint shows that it gives four at once, when requests for five are under way."""
    monkeypatch.setenv("RAGEMO_ENDPOINTS", str(tmp_path / "endpoints.json"))
    settings = {"llm__samples": 5, "voting__stop": "none"}
    endpoint.script({"statuses": ["in_progress", "completed"], "answered": answered})
    with pytest.raises(PendingError):
        run_by_batch(endpoint, tmp_path / "run", NO_WAIT, **settings)
    if answered < 6:  # what came is not in the run yet when a request is made again
        with pytest.raises(PendingError):
            run_by_batch(endpoint, tmp_path / "run", NO_WAIT, resume=True, **settings)
    model = OpenAIModel("some-model", base_url=endpoint.url)
    model.learning.learn(replace(model.capabilities, largest_n=4))
    run = run_by_batch(endpoint, tmp_path / "run", resume=True, **settings)
    assert len(endpoint.requests) == requests
    assert {ballot.sample for ballot in run.ballots()} == {0, 1, 2, 3, 4}
    assert not any(ballot.failed for ballot in run.ballots())
    assert answers(run_by_batch(endpoint, tmp_path / "whole", None, **settings)) == answers(run)


def test_no_wait_submits_once_and_goes_on_later(endpoint, tmp_path):
    endpoint.script({"statuses": ["in_progress"] * 3 + ["completed"]})
    with pytest.raises(PendingError, match=r"6 requests in batch batch_0.*--resume"):
        run_by_batch(endpoint, tmp_path / "run", NO_WAIT)
    with pytest.raises(PendingError, match="batch_0"):
        run_by_batch(endpoint, tmp_path / "run", NO_WAIT, resume=True)
    with pytest.raises(RunFolderError, match="6 requests of this run were submitted in a batch"):
        run_by_batch(endpoint, tmp_path / "run", None, resume=True)
    run = run_by_batch(endpoint, tmp_path / "run", resume=True)
    assert len(run.verdicts()) == 6
    assert len(endpoint.batches) == len(endpoint.uploads) == 1
    assert endpoint.chats == 0


def test_who_cancels_a_batch_keeps_its_answers_and_decides_when_to_go_on(endpoint, tmp_path):
    endpoint.script({"statuses": ["in_progress"]})
    with pytest.raises(PendingError):
        run_by_batch(endpoint, tmp_path / "run", NO_WAIT)
    endpoint.cancel("batch_0")
    with pytest.raises(PendingError, match=r"batch_0 was cancelled; 5 calls are not answered"):
        run_by_batch(endpoint, tmp_path / "run", resume=True)
    run = run_by_batch(endpoint, tmp_path / "run", resume=True)
    assert not any(ballot.failed for ballot in run.ballots())
    assert [len(batch["requests"]) for batch in endpoint.batches] == [6, 5]


def test_what_the_cache_knows_is_not_submitted_and_what_came_is_kept_there(endpoint, tmp_path):
    cache = AnswerCache(tmp_path / "answers.sqlite")
    run_by_batch(endpoint, tmp_path / "first", cache=cache, limit=4)
    run = run_by_batch(endpoint, tmp_path / "second", cache=cache)
    assert [len(batch["requests"]) for batch in endpoint.batches] == [4, 2]
    online = run_by_batch(endpoint, tmp_path / "online", None, cache=cache)
    assert endpoint.chats == 0
    assert answers(online) == answers(run)


def test_what_people_should_know_is_counted_once_however_often_a_file_is_heard(endpoint, tmp_path):
    endpoint.script({"errors": {"1": BUSY}}, **WORDY)
    model = OpenAIModel("some-model", base_url=endpoint.url)
    run_by_batch(endpoint, tmp_path / "run", model=model)
    assert len(endpoint.batches) == 2
    assert any("5 of 5 answers are no label" in remark for remark in model.remarks)
    assert any("6 of 6 answers are no JSON object" in remark for remark in model.remarks)


def test_replies_that_cannot_be_used_count_in_the_budget_once(endpoint, tmp_path):
    endpoint.script(**WORDY)
    budget = Budget(tokens=10**6)
    run = run_by_batch(endpoint, tmp_path / "run", budget=budget)
    usages = [ballot.usage for ballot in run.ballots()]
    paid = sum(usage.prompt_tokens + usage.answer_tokens for usage in usages)
    assert [len(batch["requests"]) for batch in endpoint.batches] == [6, 6]
    assert paid == budget.spent.tokens == 12 * 107
    assert budget.spent.calls == 6


def test_a_ballot_that_failed_bears_what_was_paid_before(endpoint, tmp_path):
    errors = {"errors": {"0": BUSY}}
    endpoint.script({}, *[errors] * 3, **WORDY)
    budget = Budget(tokens=10**6)
    run = run_by_batch(endpoint, tmp_path / "run", budget=budget)
    (failed,) = (ballot.usage for ballot in run.ballots() if ballot.failed)
    assert (failed.prompt_tokens, failed.answer_tokens) == (100, 7)
    usages = [ballot.usage for ballot in run.ballots()]
    paid = sum(usage.prompt_tokens + usage.answer_tokens for usage in usages)
    assert paid == budget.spent.tokens == 11 * 107


def test_replies_that_cannot_be_used_leave_less_of_the_budget_for_the_next_file(endpoint, tmp_path):
    endpoint.script(**WORDY)
    whole = Budget(tokens=10**6)
    run_by_batch(endpoint, tmp_path / "whole", budget=whole)
    with pytest.raises(BudgetError):
        run_by_batch(endpoint, tmp_path / "run", budget=Budget(tokens=whole.spent.tokens - 1))
    assert [len(batch["requests"]) for batch in endpoint.batches] == [6, 6, 6]


def test_what_is_asked_once_for_several_utterances_is_paid_for_by_one(endpoint, tmp_path):
    corpus = make_corpus([{"dialogue": name, "text": "yeah"} for name in "abc"])
    settings = {"corpus": corpus, "prompt__context": 0, "llm__samples": 2}
    run = run_by_batch(endpoint, tmp_path / "run", **settings)
    cache = AnswerCache(tmp_path / "answers.sqlite")
    online = run_by_batch(endpoint, tmp_path / "online", None, cache=cache, **settings)
    assert len(endpoint.requests) == 1
    assert [ballot.from_cache for ballot in run.ballots()].count(False) == 2
    assert [ballot.from_cache for ballot in online.ballots()].count(False) == 2


def test_the_key_is_nowhere_on_disk(endpoint, tmp_path):
    endpoint.script(echo_key=True)
    run_by_batch(endpoint, tmp_path / "run")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / "run" / "batch" / "answers-0001.jsonl") in files
    assert not any(KEY.encode() in path.read_bytes() for path in files)


def test_a_model_without_an_endpoint_cannot_be_asked_by_file(tmp_path):
    with pytest.raises(SettingsError, match="not behind an API"):
        predict(
            CORPUS,
            resolve_settings({}, {"retrieval.k": 0}),
            tmp_path / "run",
            llm=FakeLLM(),
            batch=WAIT,
        )
    assert not (tmp_path / "run").exists()
