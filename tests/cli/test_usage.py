"""What a run says of tokens and money, as an endpoint tells."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import asking

# The scripted server counts 100 tokens of each prompt, 33 of them cached, and 7 of an answer.
PRICES = "some-model: {prompt: 1000, cached: 100, answer: 2000}\n"
COST = 3 * (67 * 1000 + 33 * 100 + 7 * 2000) / 1e6


def reply(usage):
    """A whole answer with a usage of its own."""
    message = {"role": "assistant", "content": "sad"}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return {"status": 200, "body": body | ({} if usage is None else {"usage": usage})}


@pytest.fixture
def prices(workplace, monkeypatch):
    file = workplace.parent / "prices.yaml"
    file.write_text(PRICES)
    monkeypatch.setenv("RAGEMO_PRICES", str(file))


def ballots(folder="run"):
    return [json.loads(line) for line in Path(folder, "ballots.jsonl").read_text().splitlines()]


def usages():
    return [ballot["usage"] for ballot in ballots()]


def tokens_line(done):
    assert done.code == 0, done.err
    lines = [line for line in done.err.splitlines() if line.startswith("tokens: ")]
    assert len(lines) <= 1
    return lines[0] if lines else ""


def test_the_cached_share_and_the_cost_are_told(command, test_file, scenario, prices):
    scenario.script(answers=["sad"])
    done = command(*asking(test_file, "--base-url", scenario.url))
    assert tokens_line(done) == (
        f"tokens: 300 sent (33 % of them cached), 21 answered, ${COST:.4f}"
    )
    assert sum(usage["cost"] for usage in usages()) == pytest.approx(COST)
    assert [usage["cached_tokens"] for usage in usages()] == [33] * 3


def test_a_server_of_one_s_own_is_free(command, test_file, scenario):
    scenario.script(answers=["sad"])
    done = command(*asking(test_file, "--base-url", scenario.url))
    assert tokens_line(done) == "tokens: 300 sent (33 % of them cached), 21 answered"


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"prompt_tokens_details": None},
        {"prompt_tokens_details": {}},
        {"prompt_tokens_details": {"cached_tokens": None}},
        {"prompt_tokens_details": {"cached_tokens": 0}},
    ],
)
def test_nothing_is_said_of_a_cache_that_the_endpoint_does_not_tell(
    command, test_file, scenario, prices, details
):
    counts = {"prompt_tokens": 50, "completion_tokens": 4, "total_tokens": 54}
    scenario.script(*[reply(counts | details)] * 3)
    done = command(*asking(test_file, "--base-url", scenario.url))
    cost = 3 * (50 * 1000 + 4 * 2000) / 1e6
    assert tokens_line(done) == f"tokens: 150 sent, 12 answered, ${cost:.4f}"
    assert "cached" not in done.out + done.err


def test_an_endpoint_that_counts_nothing_is_estimated(command, test_file, scenario, prices):
    scenario.script(answers=["sad"], no_usage=True)
    done = command(*asking(test_file, "--base-url", scenario.url))
    line = tokens_line(done)
    assert line.startswith("tokens: ")
    assert "cached" not in done.out + done.err
    assert [usage["cached_tokens"] for usage in usages()] == [0] * 3
    assert all(usage["prompt_tokens"] > 50 and usage["cost"] > 0 for usage in usages())


def test_quiet_says_no_tokens(command, test_file, scenario):
    done = command(*asking(test_file, "--base-url", scenario.url, "--quiet"))
    assert (done.code, done.err) == (0, "")


def test_a_resumed_run_tells_what_the_whole_of_it_took(command, test_file, scenario, prices):
    down = {"status": 500, "body": {"error": {"message": "out of order"}}}
    scenario.script({"ok": True}, down, answers=["sad"])
    arguments = asking(test_file, "--base-url", scenario.url)
    assert command(*arguments).code == 3
    done = command(*arguments, "--resume")
    assert tokens_line(done) == (
        f"tokens: 300 sent (33 % of them cached), 21 answered, ${COST:.4f}, "
        f"${COST / 3:.4f} of it now"
    )
    assert "kept from before" not in done.err


def test_an_empty_folder_may_be_gone_on_with(command, test_file, scenario):
    Path("run").mkdir()
    scenario.script(answers=["sad"])
    done = command(*asking(test_file, "--base-url", scenario.url), "--resume")
    assert (done.code, done.out) == (0, "run: 3 utterances\n")


def test_what_was_answered_in_another_run_is_not_paid_again(
    command, test_file, scenario, prices, answers_file
):
    scenario.script(answers=["sad"])
    arguments = asking(test_file, "--base-url", scenario.url)
    assert tokens_line(command(*arguments, "--limit", 2))
    dry = command(*arguments, "--out", "second", "--dry-run")
    assert "3 answers, 2 of them there already" in dry.out
    done = command(*arguments, "--out", "second")
    assert (
        tokens_line(done) == f"tokens: 100 sent (33 % of them cached), 7 answered, ${COST / 3:.4f}"
    )
    assert f"answers kept from before: 2, ${2 * COST / 3:.4f} not paid again" in done.err
    assert len(scenario.seen) == 3
    told = [ballot["from_cache"] for ballot in ballots("second")]
    assert sorted(told) == [False, True, True]

    done = command(*arguments, "--out", "third", "--no-cache")
    assert tokens_line(done).startswith("tokens: 300 sent")
    done = command(*arguments, "--out", "fourth", "--cache", "mine.sqlite")
    assert tokens_line(done).startswith("tokens: 300 sent")
    assert len(scenario.seen) == 3 + 3 + 3
    assert answers_file.is_file()
    assert Path("mine.sqlite").is_file()


def test_a_dry_run_makes_no_cache(command, test_file, scenario, answers_file):
    done = command(*asking(test_file, "--base-url", scenario.url, "--dry-run"))
    assert done.code == 0
    assert not answers_file.exists()


def test_a_budget_stops_before_the_call_and_says_how_to_go_on(command, test_file, scenario, prices):
    scenario.script(answers=["sad"])
    arguments = asking(test_file, "--base-url", scenario.url)
    stopped = command(*arguments, "--budget", "2calls")
    assert (stopped.code, stopped.out) == (4, "")
    assert len(scenario.seen) == 2
    assert "run: the budget of 2 calls is reached" in stopped.err
    assert "--resume and a budget for what is left" in stopped.err
    assert len(ballots()) == 2
    assert not Path("run/verdicts.jsonl").exists()

    # What is in the run or in the cache costs nothing of a budget.
    done = command(*arguments, "--resume", "--budget", "1calls")
    assert (done.code, done.out) == (0, "run: 3 utterances\n")
    done = command(*arguments, "--out", "again", "--budget", "0calls", "--budget", "0usd")
    assert done.code == 0
    assert len(scenario.seen) == 3

    dear = command(*arguments, "--out", "dear", "--no-cache", "--budget", "0.0001")
    assert (dear.code, len(scenario.seen)) == (4, 3)
    assert "the budget of $0.0001 is reached" in dear.err
    few = command(*arguments, "--out", "few", "--no-cache", "--budget", "10 tokens")
    assert (few.code, len(scenario.seen)) == (4, 3)


@pytest.mark.parametrize("limit", ["much", "5eur", "-1", "1.5calls", "calls", "1e3", ""])
def test_a_budget_that_is_none_is_refused_before_anything_is_read(command, limit):
    done = command("predict", "no-such-file", "--out", "run", "--budget", limit)
    assert done.code == 2
    assert f"--budget {limit}: expected dollars (5 or 5usd), calls" in done.err


def test_a_kind_of_budget_is_given_once(command):
    done = command("predict", "x", "--out", "run", "--budget", "5", "--budget", "3usd")
    assert "there is a limit in dollars already" in done.err


def test_a_budget_in_dollars_needs_a_price_and_leaves_no_run(
    command, test_file, scenario, workplace, monkeypatch
):
    monkeypatch.setenv("RAGEMO_PRICES", "")
    url = scenario.url.replace("127.0.0.1", "0.0.0.0")  # this machine, by a name not known as free
    done = command(*asking(test_file, "--base-url", url, "--budget", 5))
    assert done.code == 2
    assert "the price of 'some-model' is not known" in done.err
    assert not Path("run").exists()
    assert scenario.seen == []


def test_prices_are_listed_with_where_they_come_from(command, prices, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done = command("models", "prices")
    assert done.code == 0, done.err
    lines = {line.split()[0]: line.split() for line in done.out.splitlines()}
    assert lines["some-model"][1:4] == ["1000", "100", "2000"]
    assert lines["some-model"][-1].endswith("prices.yaml")
    assert lines["gpt-4o-mini"][4:6] == ["50", "%"]
    assert lines["gpt-4o-mini"][-1] == "ragemo"
    assert "prices.yaml" in done.err
    monkeypatch.delenv("RAGEMO_PRICES")
    assert "name it in RAGEMO_PRICES" in command("models", "prices").err


@pytest.mark.parametrize("fault", [{"reset": True}, {"cut": 20}])
def test_requests_in_vain_are_told_once(command, test_file, scenario, fault):
    """Not again by a run that takes the answers from the cache."""
    scenario.script(fault, answers=["sad"])
    how = ("--base-url", scenario.url, "--set", "llm.attempts=2")
    done = command(*asking(test_file, *how))
    assert tokens_line(done) == "tokens: 300 sent (33 % of them cached), 21 answered"
    assert "requests in vain: 1 ran out of time" in done.err
    again = command(*asking(test_file, *how, "--out", "again"))
    assert "in vain" not in again.err
    assert len(scenario.seen) == 4
