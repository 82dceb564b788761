"""`ragemo predict --batch`: exit codes and words."""

import signal
import time

import pytest

from tests.cli.conftest import asking
from tests.llm.batch.conftest import batch_port, endpoint
from tests.llm.conftest import api_environment

__all__ = ["api_environment", "batch_port", "endpoint"]


@pytest.fixture
def by_batch(command, test_file, endpoint):
    """The command with more flags; four requests."""

    def ask(*flags):
        return command(
            *asking(test_file, "--base-url", endpoint.url, "--no-cache", *flags, limit=4)
        )

    return ask


def test_a_batch_that_is_not_waited_for_is_gone_on_with(by_batch, endpoint):
    endpoint.script({"statuses": ["in_progress", "completed"]})
    submitted = by_batch("--batch", "--no-wait")
    assert submitted.code == 5
    assert submitted.out == ""
    assert "4 requests in batch batch_0" in submitted.err
    assert "--resume" in submitted.err
    online = by_batch("--resume")
    assert online.code == 2
    assert "go on with --batch" in online.err
    done = by_batch("--batch", "--poll", "0.01", "--resume")
    assert done.code == 0
    assert done.out.startswith("run: 4 utterances")
    assert len(endpoint.batches) == 1


def test_files_only(by_batch, endpoint, workplace):
    done = by_batch("--batch-files")
    assert done.code == 5
    assert "vllm run-batch -i run/batch/requests-0001.jsonl" in done.err
    assert (workplace / "run" / "batch" / "requests-0001.jsonl").read_text().count("\n") == 4
    assert endpoint.uploads == []


def test_a_round_that_could_exceed_the_budget_is_not_submitted(by_batch, endpoint):
    done = by_batch("--batch", "--poll", "0.01", "--budget", "3calls")
    assert done.code == 4
    assert "budget of 3 calls" in done.err
    assert endpoint.uploads == []
    assert by_batch("--batch", "--poll", "0.01", "--budget", "4calls", "--resume").code == 0


def test_a_dry_run_tells_rounds_files_and_requests(by_batch, endpoint):
    done = by_batch("--batch", "--dry-run")
    assert done.code == 0
    assert "rounds of answers to wait for: 1 at most, requests: 4, files: 1 (0.0 MB)" in done.out
    assert endpoint.uploads == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--batch", "--batch-files"), "choose one of them"),
        (("--no-wait",), "go with --batch"),
        (("--batch", "--poll", "0"), "--poll is 0"),
    ],
)
def test_flags_that_do_not_go_together(by_batch, flags, words):
    done = by_batch(*flags)
    assert done.code == 2
    assert words in done.err


def test_ctrl_c_leaves_the_batch_running_and_says_how_to_go_on(
    by_batch, start, test_file, endpoint, workplace
):
    endpoint.script({"statuses": ["in_progress"] * 40 + ["completed"]})
    flags = ("--base-url", endpoint.url, "--no-cache", "--batch", "--poll", "0.2")
    process = start(*asking(test_file, *flags, "--out", workplace / "run", limit=4))
    try:
        end = time.monotonic() + 60
        state = workplace / "run" / "batch" / "state.json"
        while not (state.is_file() and '"in_progress"' in state.read_text()):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "what was submitted goes on at the endpoint; go on with the same command" in said
    assert "Traceback" not in said
    assert by_batch("--batch", "--poll", "0.01", "--resume").code == 0
    assert len(endpoint.batches) == 1
