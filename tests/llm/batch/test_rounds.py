"""A run by batch is the run online, whatever the endpoint does to its files."""

import asyncio
import json
import re
from dataclasses import replace

import pytest

from ragemo.errors import EndpointError, PendingError, RunFolderError, SettingsError
from ragemo.llm.batch import BatchOptions, courier
from ragemo.llm.batch import folder as batch_folder
from ragemo.llm.budget import Budget, BudgetError
from ragemo.llm.keeping.answer_cache import AnswerCache
from ragemo.llm.openai_model import OpenAIModel
from ragemo.pipeline import predict
from ragemo.settings import resolve_settings
from tests.conftest import make_corpus
from tests.fake_llm import FakeLLM
from tests.llm.asking import KEY, OPENAI_MAX_TOKENS, OPENAI_TEMPERATURE
from tests.llm.batch.conftest import (
    CORPUS,
    NO_WAIT,
    WAIT,
    Lines,
    answers,
    derived,
    run_by_batch,
)


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


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ({"reverse": True, "double": True}, "6 lines that came twice"),
        ({"stranger": True}, "1 lines of requests that were not made"),
        ({"statuses": ["validating", "in_progress", "finalizing", "completed"]}, "finalizing"),
        ({"short": 1}, "5 of 6 answers can be read; looking again"),
        ({"odd": [{}, {}, *[{"output_file_id": None}] * 9]}, "0 of 6 answers can be read"),
        ({"after": 500}, "HTTP 500"),
    ],
)
def test_what_comes_in_disorder_is_put_in_order(endpoint, tmp_path, trouble, told):
    online = run_by_batch(endpoint, tmp_path / "online", None)
    endpoint.script(trouble)
    said = Lines()
    run = run_by_batch(endpoint, tmp_path / "batch", said=said)
    assert answers(run) == answers(online)
    assert derived(tmp_path / "batch") == derived(tmp_path / "online")
    assert told in str(said)
    assert len(endpoint.batches) == len(endpoint.uploads) == 1


PAGE = "<!doctype html><title>Log in</title>"


@pytest.mark.parametrize(
    "odd",
    [
        [PAGE],
        [{}, PAGE],
        [{"id": None}, {"id": 5}],
        [{}, {"status": None}, {"status": ["completed"]}],
        [{}, [], {"metadata": 5, "errors": [{"message": "none"}]}],
        [{}, {"request_counts": {}}, {"request_counts": {"total": 6, "completed": None}}],
        [{}, {"request_counts": None}, {"request_counts": [6]}],
        [{"status": "VALIDATING"}, {}, *[{"status": "COMPLETED"}] * 20],
        [{}, {"error_file_id": 5}, {"error_file_id": {}, "errors": 5}],
    ],
)
def test_odd_answers_about_a_batch_pass(endpoint, tmp_path, odd):
    endpoint.script({"odd": odd})
    said = Lines()
    run = run_by_batch(endpoint, tmp_path / "run", said=said)
    assert not any(ballot.failed for ballot in run.ballots())
    assert ": completed" in str(said)
    assert len(endpoint.batches) == len(endpoint.uploads) == 1


@pytest.mark.parametrize(
    ("odd", "batches"),
    [(PAGE, 1), ([], 1), ({"data": 5}, 1), ({"object": "list", "data": None}, 2)],
)
def test_only_a_list_without_entries_says_that_nothing_was_created(
    endpoint, tmp_path, odd, batches
):
    """After an answer that got lost. Some gateways write null for no entries."""
    endpoint.script({"after": 500}, lists=[odd])
    run = run_by_batch(endpoint, tmp_path / "run")
    assert not any(ballot.failed for ballot in run.ballots())
    assert len(endpoint.batches) == batches


@pytest.mark.parametrize(
    ("odd", "told"),
    [({"status": None}, "something that is no batch: .*batch_0"), (PAGE, "an HTML page")],
)
def test_odd_answers_without_an_end_are_an_error_in_words(endpoint, tmp_path, odd, told):
    endpoint.script({"odd": [{}, *[odd] * 100]})
    with pytest.raises(EndpointError, match=told):
        run_by_batch(endpoint, tmp_path / "run")


@pytest.mark.parametrize(
    "errors", [None, 5, [], {"data": 5}, [{"message": "bad"}], {"data": [5, {"code": "b"}]}]
)
def test_a_batch_that_is_not_accepted_may_say_so_oddly(endpoint, tmp_path, errors):
    endpoint.script({"fail": [["x", "y", 1]], "odd": [{}, {"errors": errors}]})
    with pytest.raises(EndpointError, match="did not accept batch batch_0"):
        run_by_batch(endpoint, tmp_path / "run")


BUSY = [503, {"message": "overloaded"}]

WORDY = {"answers": ["Well, I think that"]}
"""Of an endpoint that passes over a grammar: all are asked again, by a JSON schema."""


@pytest.mark.parametrize(
    ("trouble", "missing"),
    [
        ({"answered": 2, "statuses": ["in_progress", "expired"]}, 4),
        ({"answered": 4, "statuses": ["in_progress", "failed"]}, 2),
        ({"errors": {"1": BUSY, "4": [429, {"message": "slow down"}]}}, 2),
        ({"torn": True}, 1),
    ],
)
def test_only_what_is_missing_is_submitted_again(endpoint, tmp_path, monkeypatch, trouble, missing):
    monkeypatch.setattr(courier, "LATE", 0.0)
    online = run_by_batch(endpoint, tmp_path / "online", None)
    endpoint.script(trouble)
    run = run_by_batch(endpoint, tmp_path / "batch")
    assert answers(run) == answers(online)
    first, second = endpoint.batches
    assert len(second["requests"]) == missing
    assert set(second["requests"]) < set(first["requests"])
    lost = json.loads(second["requests"][0])["custom_id"]
    state = json.loads((tmp_path / "batch" / "batch" / "state.json").read_text())
    assert [file["stage"] for file in state["files"]] == ["heard", "heard"]
    assert lost in (tmp_path / "batch" / "batch" / "requests-0002.jsonl").read_text()


def test_an_outcome_is_not_waited_for_without_an_end(endpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(courier, "LATE", 0.0)
    endpoint.script({"odd": [{}, {}, *[{"output_file_id": None}] * 9]})
    said = Lines()
    run = run_by_batch(endpoint, tmp_path / "run", said=said)
    assert not any(ballot.failed for ballot in run.ballots())
    assert "0 of 6 answers can be read; what is missing is asked, and paid for, again" in str(said)
    assert [len(batch["requests"]) for batch in endpoint.batches] == [6, 6]


def test_nothing_is_late_of_a_batch_that_counts_what_failed_as_completed(endpoint, tmp_path):
    counts = {"request_counts": {"total": 6, "completed": 6, "failed": 1}}
    endpoint.script({"errors": {"2": [400, {"message": "too long"}]}, "odd": [counts] * 20})
    said = Lines()
    run = run_by_batch(endpoint, tmp_path / "run", said=said)
    assert sum(ballot.failed for ballot in run.ballots()) == 1
    assert "can be read" not in str(said)


def test_a_clock_that_was_put_back_lets_nobody_wait_for_it(endpoint, tmp_path, monkeypatch):
    endpoint.script({"odd": [{}, {}, *[{"output_file_id": None}] * 9]})
    monkeypatch.setattr(batch_folder.Shipment, "age", -1e6)
    said = Lines()
    run_by_batch(endpoint, tmp_path / "run", said=said)
    assert "what is missing is asked, and paid for, again" in str(said)


def test_of_a_file_that_is_gone_all_is_asked_again_and_nothing_of_others(
    endpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(courier, "LATE", 0.0)
    monkeypatch.setattr(batch_folder, "MOST_REQUESTS", 3)
    endpoint.script({"odd": [{}, {}, *[{"output_file_id": "file-gone"}] * 9]})
    said = Lines()
    run = run_by_batch(endpoint, tmp_path / "run", said=said)
    assert not any(ballot.failed for ballot in run.ballots())
    first, second, third = (batch["requests"] for batch in endpoint.batches)
    assert third == first != second
    assert re.search(
        "file file-gone of batch batch_0 is not at the endpoint: deleted .*; what is missing is "
        "asked, and paid for, again",
        str(said),
    )


def test_who_does_not_wait_looks_again_for_a_late_outcome_later(endpoint, tmp_path):
    late = [{"output_file_id": None}] * 2
    endpoint.script({"statuses": ["completed"], "odd": [{}, *late]})
    for resume in (False, True):
        with pytest.raises(PendingError, match="6 requests in batch batch_0"):
            run_by_batch(endpoint, tmp_path / "run", NO_WAIT, resume=resume)
    run = run_by_batch(endpoint, tmp_path / "run", NO_WAIT, resume=True)
    assert not any(ballot.failed for ballot in run.ballots())
    assert len(endpoint.batches) == 1


def test_what_never_comes_fails_after_three_batches_and_is_asked_again_by_resume(
    endpoint, tmp_path
):
    endpoint.script(*[{"errors": {"0": BUSY}}] * 3)
    run = run_by_batch(endpoint, tmp_path / "run")
    failed = [ballot for ballot in run.ballots() if ballot.failed]
    assert len(failed) == 1
    assert "submitted 3 times without an answer: overloaded" in failed[0].error
    assert [len(batch["requests"]) for batch in endpoint.batches] == [6, 1, 1]
    resumed = run_by_batch(endpoint, tmp_path / "run", resume=True)
    assert not any(ballot.failed for ballot in resumed.ballots())
    assert [len(batch["requests"]) for batch in endpoint.batches] == [6, 1, 1, 1]


def test_an_endpoints_words_are_made_fit_to_be_kept(endpoint, tmp_path):
    odd = {"message": f"half a pair \ud83d\nand {KEY}"}
    endpoint.script(*[{"errors": {"0": [503, odd]}}] * 3)
    said = Lines()
    run = run_by_batch(endpoint, tmp_path / "run", said=said)
    failed = [ballot.error for ballot in run.ballots() if ballot.failed]
    assert len(failed) == 1
    assert "without an answer: half a pair ? and [secret]" in failed[0]
    assert "(1 with half a pair ? and [secret])" in str(said)


def test_what_cannot_succeed_fails_at_once_with_its_reason(endpoint, tmp_path):
    endpoint.script({"errors": {"2": [400, {"message": "maximum context length exceeded"}]}})
    run = run_by_batch(endpoint, tmp_path / "run")
    failed = [ballot.error for ballot in run.ballots() if ballot.failed]
    assert len(failed) == 1
    assert "HTTP 400" in failed[0]
    assert "maximum context length" in failed[0]
    assert len(endpoint.batches) == 1


def test_one_refused_request_keeps_no_answer_of_its_file_back(endpoint, tmp_path):
    refusal = [400, {"message": "could not compile json_schema for this request"}]
    endpoint.script({"errors": {"2": refusal}})
    run = run_by_batch(endpoint, tmp_path / "run", constraint="json_schema")
    failed = [ballot.error for ballot in run.ballots() if ballot.failed]
    assert len(failed) == 1
    assert "could not compile json_schema" in failed[0]
    assert "set llm.constraint to auto or none" in failed[0]
    assert len(run.ballots()) == 6
    assert len(endpoint.batches) == 1


@pytest.mark.parametrize(
    ("field", "complaint", "then"),
    [
        ("temperature", OPENAI_TEMPERATURE, lambda body: "temperature" not in body),
        ("max_tokens", OPENAI_MAX_TOKENS, lambda body: "max_completion_tokens" in body),
    ],
)
def test_a_field_that_is_refused_is_left_out_in_the_next_file(
    endpoint, tmp_path, field, complaint, then
):
    endpoint.script(refuse={field: [400, {"error": complaint}]})
    run = run_by_batch(endpoint, tmp_path / "run")
    assert not any(ballot.failed for ballot in run.ballots())
    first, second = endpoint.batches
    assert all(then(json.loads(line)["body"]) for line in second["requests"])
    assert len(second["requests"]) == len(first["requests"]) == 6


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
    assert f'"largest_n": {at_most}' in (tmp_path / "endpoints.json").read_text()
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


def test_too_many_at_once_become_smaller_files_one_after_the_other(endpoint, tmp_path):
    endpoint.script(limit=2)
    run = run_by_batch(endpoint, tmp_path / "run")
    assert not any(ballot.failed for ballot in run.ballots())
    assert [len(batch["requests"]) for batch in endpoint.batches] == [6, 3, 3, 1, 1, 1, 1, 1, 1]


def test_an_endpoint_that_others_fill_up_is_left_alone_for_longer_and_longer(
    endpoint, tmp_path, monkeypatch
):
    pauses, sleep = [], asyncio.sleep

    def noted(seconds):
        pauses.append(seconds)
        return sleep(0)

    monkeypatch.setattr(courier.asyncio, "sleep", noted)
    endpoint.script(limit=2)
    run = run_by_batch(endpoint, tmp_path / "run", BatchOptions(poll=3.0))
    assert not any(ballot.failed for ballot in run.ballots())
    refused, taken = pauses[:6], pauses[6:]
    assert refused == [1.0, 1.0, 1.0, 1.5, 1.5, 2.25], "a second look, then longer and longer"
    assert taken == [1.0, 1.5, 2.25, 3.0, 3.0, 3.0], "a look at each of the six that were taken"


def test_a_batch_that_is_not_accepted_is_one_error_with_the_endpoints_words(endpoint, tmp_path):
    endpoint.script({"fail": [["invalid_model", "Model 'some-model' is not for batches", 1]]})
    with pytest.raises(EndpointError) as caught:
        run_by_batch(endpoint, tmp_path / "run")
    assert "line 1: Model 'some-model' is not for batches" in str(caught.value)
    assert not (tmp_path / "run").exists(), "nothing was submitted that could be lost"


def test_an_endpoint_without_batches_is_told_of_the_files(endpoint, tmp_path):
    endpoint.script(no_batches=True)
    with pytest.raises(EndpointError, match=r"POST .*/v1/files.*--batch-files"):
        run_by_batch(endpoint, tmp_path / "run")


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
