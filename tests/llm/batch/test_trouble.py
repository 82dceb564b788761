"""What an endpoint does to its batches and files costs no answer, and is told in words."""

import asyncio
import json
import re

import pytest

from ragemo.errors import EndpointError, PendingError
from ragemo.llm.batch import BatchOptions, courier
from ragemo.llm.batch import folder as batch_folder
from tests.llm.asking import KEY, OPENAI_MAX_TOKENS, OPENAI_TEMPERATURE
from tests.llm.batch.conftest import BUSY, NO_WAIT, Lines, answers, derived, run_by_batch

PAGE = "<!doctype html><title>Log in</title>"


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


def test_who_waits_for_a_batch_waits_as_long_as_the_endpoint_asks(endpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(courier, "LONGEST_SLEEP", 0.01)
    endpoint.script(away=[900, 9_000])
    said = Lines()
    run = run_by_batch(endpoint, tmp_path / "run", said=said)
    assert not any(ballot.failed for ballot in run.ballots())
    assert "wait for 900 s; trying again" in str(said)
    endpoint.script(away=[900])
    with pytest.raises(EndpointError, match="wait for 900 s"):
        run_by_batch(endpoint, tmp_path / "later", NO_WAIT)


@pytest.mark.parametrize(
    ("trouble", "missing"),
    [
        ({"answered": 2, "statuses": ["in_progress", "expired"]}, 4),
        ({"answered": 4, "statuses": ["in_progress", "failed"]}, 2),
        ({"errors": {"1": BUSY, "4": [429, {"message": "slow down"}]}}, 2),
        ({"torn": True}, 1),
        ({"broken": [2, 5]}, 2),
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
