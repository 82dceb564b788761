"""Files for other runners."""

import json

import pytest

from ragemo.errors import EndpointError, PendingError, RunFolderError
from tests.llm.batch.conftest import FILES, NO_WAIT, Lines, answers, derived, run_by_batch
from tests.llm.servers.batches import complete

RULES = {"rules": {}, "answers": ["happy", "angry", "neutral"]}


def run_elsewhere(folder, keep=lambda number: True):
    """What a runner such as `vllm run-batch` makes of the newest request file."""
    requests = sorted((folder / "batch").glob("requests-*.jsonl"))[-1]
    lines = []
    for number, text in enumerate(requests.read_text().splitlines()):
        request = json.loads(text)
        status, body = complete(RULES, request["body"], {})
        response = {"status_code": status, "request_id": "vllm-batch-1", "body": body}
        line = {"id": f"vllm-{number}", "custom_id": request["custom_id"], "response": response}
        if keep(number):
            lines.append(json.dumps(line | {"error": None}) + "\n")
    target = requests.with_name(requests.name.replace("requests", "answers"))
    target.write_text("".join(lines))
    return target


def test_files_are_written_and_their_outcome_is_taken_up(endpoint, tmp_path):
    settings = {"voting__calibration": "contextual", "llm__samples": 2}  # two rounds
    online = run_by_batch(endpoint, tmp_path / "online", None, **settings)
    chats = endpoint.chats
    folder = tmp_path / "run"
    with pytest.raises(PendingError, match=r"vllm run-batch -i .*requests-0001.jsonl -o .*answers"):
        run_by_batch(endpoint, folder, FILES, **settings)
    with pytest.raises(PendingError, match="requests-0001"):
        run_by_batch(endpoint, folder, FILES, resume=True, **settings)
    run_elsewhere(folder)
    with pytest.raises(PendingError, match="requests-0002"):
        run_by_batch(endpoint, folder, FILES, resume=True, **settings)
    run_elsewhere(folder)
    run = run_by_batch(endpoint, folder, FILES, resume=True, **settings)
    assert answers(run) == answers(online)
    assert derived(folder) == derived(tmp_path / "online")
    assert endpoint.uploads == endpoint.batches == []
    assert endpoint.chats == chats


def test_what_a_runner_left_out_is_written_again(endpoint, tmp_path):
    with pytest.raises(PendingError):
        run_by_batch(endpoint, tmp_path / "run", FILES)
    run_elsewhere(tmp_path / "run", keep=lambda number: number != 3)
    said = Lines()
    with pytest.raises(PendingError, match=r"1 requests wait in"):
        run_by_batch(endpoint, tmp_path / "run", FILES, resume=True, said=said)
    assert "5 of 6 requests answered" in str(said)


def test_a_file_that_is_with_an_endpoint_is_not_handed_to_another(endpoint, tmp_path):
    endpoint.script({"statuses": ["in_progress"]})
    with pytest.raises(PendingError):
        run_by_batch(endpoint, tmp_path / "run", NO_WAIT)
    with pytest.raises(RunFolderError, match="go on with --batch instead"):
        run_by_batch(endpoint, tmp_path / "run", FILES, resume=True)


def test_what_was_written_for_another_runner_can_be_submitted_instead(endpoint, tmp_path):
    with pytest.raises(PendingError):
        run_by_batch(endpoint, tmp_path / "run", FILES)
    run = run_by_batch(endpoint, tmp_path / "run", resume=True)
    assert len(run.verdicts()) == 6
    assert len(endpoint.batches) == 1


def test_a_request_file_that_was_changed_is_not_submitted(endpoint, tmp_path):
    with pytest.raises(PendingError):
        run_by_batch(endpoint, tmp_path / "run", FILES)
    file = tmp_path / "run" / "batch" / "requests-0001.jsonl"
    file.write_text(file.read_text().replace("word 1", "word one"))
    with pytest.raises((RunFolderError, EndpointError), match="changed since it was written"):
        run_by_batch(endpoint, tmp_path / "run", resume=True)
    assert endpoint.uploads == []
