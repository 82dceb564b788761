"""Runs against servers on loopback: one that fails on purpose, and a real one."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import asking, everything

KEY = "sk-planted-0123456789"
DOWN = {"status": 500, "body": {"error": {"message": "out of order"}}}


def test_a_failed_utterance_is_exit_code_three_and_asked_again(command, test_file, scenario):
    scenario.script({"ok": True}, DOWN, answers=["happy"])
    arguments = asking(test_file, "--base-url", scenario.url)
    done = command(*arguments)
    assert done.code == 3
    assert done.out == "run: 3 utterances, 1 without a label, 1 with a call that failed\n"
    assert "--resume" in done.err
    score = json.loads(command("score", "run", "--format", "json", "--bootstrap", 1).out)
    assert (score["n"], score["errors"], score["invalid"]) == (3, 1, 0)
    labels = [line.split(",")[1] for line in Path("run/predictions.csv").read_text().split()]
    assert labels == ["label", "hap", "", "hap"]

    before = len(scenario.seen)
    done = command(*arguments, "--resume")
    assert (done.code, done.out) == (0, "run: 3 utterances\n")
    assert len(scenario.seen) == before + 1
    ballots = [json.loads(line) for line in Path("run/ballots.jsonl").read_text().splitlines()]
    assert [ballot["error"] is None for ballot in ballots] == [True, False, True, True]


def test_an_answer_that_is_no_label_is_no_failure(command, test_file, scenario):
    scenario.script(answers=["happy", "hungry", "sad"])
    done = command(*asking(test_file, "--base-url", scenario.url))
    flags = ["--set", "llm.constraint=none", "--out", "free"]
    scenario.script(answers=["happy", "hungry", "sad"])
    done = command(*asking(test_file, "--base-url", scenario.url, *flags))
    assert (done.code, done.out) == (
        0,
        "free: 3 utterances, 1 without a label, 1 with an answer that is no label\n",
    )


def test_the_key_is_sent_and_kept_nowhere(command, test_file, scenario, monkeypatch, workplace):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    echoing = {"status": 500, "body": {"error": {"message": f"bad key {KEY}?"}}}
    scenario.script({"ok": True}, echoing, echo_key=True)
    arguments = asking(test_file, "--base-url", scenario.url)
    said = [
        command(*arguments),
        command(*arguments, "--resume"),
        command(*arguments, "--resume", "--dry-run"),
        command("score", "run"),
        command("doctor", "--base-url", scenario.url, "--llm", "some-model"),
    ]
    assert {request["key"] for request in scenario.seen} == {f"Bearer {KEY}"}
    assert b"[secret]" in everything(workplace)
    assert KEY.encode() not in everything(workplace)
    assert not [outcome for outcome in said if KEY in outcome.out + outcome.err]


def test_a_refused_key_or_address_leaves_no_run(command, test_file, scenario, workplace):
    scenario.script({"status": 401, "body": {"error": {"message": "wrong"}}})
    for url, said in ((scenario.url, "key was not accepted"), ("http://127.0.0.1:9/v1", "connect")):
        done = command(*asking(test_file, "--base-url", url))
        assert (done.code, done.out) == (2, "")
        assert said in done.err.splitlines()[-1]
        assert "Traceback" not in done.err
        assert list(workplace.iterdir()) == []


def test_a_dry_run_sends_and_writes_nothing(command, test_file, index, scenario, workplace):
    prices = workplace.parent / "prices.yaml"
    prices.write_text("prices: {}")
    arguments = ["predict", test_file, "--index", index, "--llm", "gpt-4o-mini", "--samples", 5]
    arguments += ["--base-url", scenario.url, "--dry-run"]
    done = command(*arguments)
    assert done.code == 0
    assert done.out.startswith("18 utterances, at most 108 answers (18 to weigh the model), about ")
    assert "prompt tokens, at most 1,728 answer tokens, " in done.out
    assert scenario.seen == []
    assert list(workplace.iterdir()) == []


def test_a_dry_run_names_the_price(command, test_file, index, monkeypatch, workplace):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    arguments = ["predict", test_file, "--index", index, "--dry-run", "--llm"]
    costs = {}
    for samples in (1, 9):
        done = command(*arguments, "gpt-4o-mini", "--samples", samples)
        costs[samples] = float(done.out.strip().rpartition("$")[2])
    assert 0 < costs[1] < costs[9] < 1
    assert "price unknown" in command(*arguments, "a-model-of-tomorrow").out
    assert "no language model is asked" in command(*arguments, "none").out
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize("samples", [2])
def test_a_real_server_answers(command, test_file, index, llama_url, samples):
    arguments = ["predict", test_file, "--index", index, "--llm", "smollm2", "--k", 1]
    arguments += ["--set", "llm.backend=openai", "--base-url", llama_url, "--samples", samples]
    arguments += ["--limit", 2, "--context", 1, "--out", "run"]
    done = command(*arguments)
    assert (done.code, done.out) == (0, "run: 2 utterances\n")
    ballots = [json.loads(line) for line in Path("run/ballots.jsonl").read_text().splitlines()]
    answers = [ballot for ballot in ballots if ballot["voter"] == "smollm2"]
    assert len(answers) == 2 * samples
    assert {answer["answer"] for answer in answers} <= {"neutral", "happy", "sad", "angry"}
    for verdict in map(json.loads, Path("run/verdicts.jsonl").read_text().splitlines()):
        assert sum(verdict["distribution"]) == pytest.approx(1)
    assert command("score", "run", "--bootstrap", 10).code == 0
