"""The API backend: from prompts to ballots, against a server that misbehaves on purpose."""

import asyncio
import json
import socket
from dataclasses import replace

import pytest

from ragemo.errors import SettingsError
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.sending.connection import NotSentError
from ragemo.llm.sending.pace import stop_paces
from ragemo.types import Window
from tests.conftest import make_turn
from tests.llm.asking import (
    ANGER,
    JOY,
    KEY,
    LABELS,
    NEUTRAL,
    OPENAI_TEMPERATURE,
    PROMPT,
    ask,
    refusal,
)

pytestmark = pytest.mark.usefixtures("api_environment")


class TestAnswers:
    def test_a_usual_answer_is_a_ballot(self, scenario):
        scenario.script(answers=["Anger."])
        (ballot,), _ = ask(scenario, constraint="none")
        assert (ballot.utterance_id, ballot.voter, ballot.sample) == ("u1", "some-model", 0)
        assert ballot.distribution == ANGER
        assert ballot.answer == "Anger."
        assert not ballot.failed
        assert not ballot.invalid
        usage = ballot.usage
        assert (usage.prompt_tokens, usage.cached_tokens, usage.answer_tokens) == (100, 33, 7)
        assert usage.cost == 0.0, "a server on this machine costs nothing"
        assert 0 < usage.seconds < 5
        (request,) = scenario.seen
        assert request["messages"] == [
            {"role": "system", "content": "Label."},
            {"role": "user", "content": 'A: "Yay!"'},
        ]
        assert request["key"] == f"Bearer {KEY}"
        assert request["max_tokens"] == 16
        assert "n" not in request

    @pytest.mark.parametrize(
        "answer", ["I would say joy", "joy or anger", "not joy", "delight", "", " \n", "\u0000"]
    )
    def test_an_answer_that_is_no_label_stays_invalid(self, scenario, answer):
        scenario.script(answers=[answer])
        (ballot,), _ = ask(scenario, constraint="none")
        assert ballot.invalid
        assert ballot.answer == answer
        assert ballot.usage.answer_tokens == 7, "it was paid for all the same"
        assert len(scenario.seen) == 1, "and is not asked for again"

    def test_other_wordings_of_a_label_are_understood(self, scenario):
        answers = ["**Joy**", "The emotion is anger.", '{"label": "neutral"}', "Label: joy\nSure!"]
        scenario.script(answers=answers)
        ballots, _ = ask(scenario, range(4), constraint="none")
        assert [ballot.distribution for ballot in ballots] == [JOY, ANGER, NEUTRAL, JOY]
        assert [ballot.answer for ballot in ballots] == answers

    def test_a_huge_answer_is_cut(self, scenario):
        scenario.script(answers=["joy, " + "x" * 1_000_000, "y" * 1_000_000])
        (good, bad), _ = ask(scenario, (0, 1), constraint="none")
        assert good.distribution == JOY
        assert bad.invalid
        assert [len(good.answer), len(bad.answer)] == [2000, 2000]


class TestForms:
    window = Window((make_turn("What now?", 0), make_turn("Yay, we won!", 1)))

    def ballots(self, scenario, form, *answers):
        scenario.script(answers=answers)
        prompt = replace(PROMPT, form=form, window=self.window)
        samples = range(len(answers))
        ballots, _ = ask(scenario, samples, prompt=prompt, constraint="none")
        assert [ballot.answer for ballot in ballots] == [
            text.replace(KEY, "[secret]") for text in answers
        ]
        return ballots

    def test_details_are_kept(self, scenario):
        quote = '{"label": "joy", "evidence": "yay we won"}'
        good, bare, bad = self.ballots(scenario, "evidence", quote, "Joy.", quote[:-2])
        assert good.distribution == bare.distribution == JOY
        assert good.details == {"evidence": "yay we won", "found": True}
        assert bare.details == bad.details == {}
        assert bad.invalid

    def test_a_list_of_labels_is_shared_evenly(self, scenario):
        (ballot,) = self.ballots(scenario, "labels", '{"labels": ["anger", "joy"]}')
        assert ballot.distribution == (0.5, 0.5, 0.0)
        assert ballot.details == {"labels": ["hap", "ang"]}

    def test_a_key_that_comes_back_is_not_kept(self, scenario):
        leak = json.dumps({"reasons": f"the key is {KEY}", "label": "joy"})
        (ballot,) = self.ballots(scenario, "reasoned", leak)
        assert ballot.details == {"reasons": "the key is [secret]"}


class TestSeveralAnswers:
    def test_they_are_asked_for_in_one_call(self, scenario):
        scenario.script(answers=["joy", "anger", "nonsense"])
        ballots, _ = ask(scenario, (4, 5, 6), constraint="none", seed=10)
        assert [ballot.sample for ballot in ballots] == [4, 5, 6]
        assert [ballot.distribution for ballot in ballots] == [JOY, ANGER, None]
        (request,) = scenario.seen
        assert (request["n"], request["seed"]) == (3, 14)
        usages = [ballot.usage for ballot in ballots]
        assert sum(usage.prompt_tokens for usage in usages) == 100
        assert sum(usage.cached_tokens for usage in usages) == 33
        assert sum(usage.answer_tokens for usage in usages) == 21
        assert max(usage.prompt_tokens for usage in usages) == 34, "shared out evenly"

    def test_numbers_with_gaps_keep_their_seeds(self, scenario):
        ballots, _ = ask(scenario, (7, 2, 3), seed=100)
        assert [ballot.sample for ballot in ballots] == [7, 2, 3]
        said = [(request.get("n", 1), request["seed"]) for request in scenario.seen]
        assert said == [(1, 107), (2, 102)]

    def test_an_ignored_n_is_topped_up(self, scenario):
        scenario.script(ignore=["n"], answers=["joy", "anger"])
        ballots, model = ask(scenario, range(4), constraint="none")
        assert [ballot.distribution for ballot in ballots] == [JOY, ANGER, JOY, ANGER]
        assert [request.get("n", 1) for request in scenario.seen] == [4, 1, 1, 1]
        assert [request["seed"] for request in scenario.seen] == [0, 1, 2, 3]
        assert model.capabilities.largest_n == 1
        assert sum(ballot.usage.prompt_tokens for ballot in ballots) == 400

    @pytest.mark.parametrize(("most", "numbers"), [(2, [5, 2, 1]), (3, [5, 2]), (4, [5, 1])])
    def test_missing_answers_are_topped_up(self, scenario, most, numbers):
        """As many as came are asked for from then on, and no answer is asked for twice."""
        answers = ["joy", "anger", "neutral", "blah", "anger"]
        scenario.script(at_most=most, answers=answers)
        ballots, model = ask(scenario, range(3, 8), constraint="none", seed=10)
        assert [ballot.sample for ballot in ballots] == [3, 4, 5, 6, 7]
        assert [ballot.answer for ballot in ballots] == answers
        assert [ballot.distribution for ballot in ballots] == [JOY, ANGER, NEUTRAL, None, ANGER]
        assert [request.get("n", 1) for request in scenario.seen] == numbers
        seeds = [13 + most * call for call in range(len(numbers))]
        assert [request["seed"] for request in scenario.seen] == seeds
        assert model.capabilities.largest_n == most
        assert sum(ballot.usage.answer_tokens for ballot in ballots) == 7 * 5

    def test_missing_answers_keep_their_numbers_over_gaps(self, scenario):
        scenario.script(at_most=2)
        ballots, _ = ask(scenario, (3, 4, 5, 9), constraint="none")
        assert [ballot.sample for ballot in ballots] == [3, 4, 5, 9]
        said = [(request.get("n", 1), request["seed"]) for request in scenario.seen]
        assert said == [(3, 3), (1, 5), (1, 9)]

    def test_none_at_all(self, scenario):
        assert ask(scenario, ())[0] == []
        assert scenario.seen == []

    def test_what_came_before_a_failure_is_kept(self, scenario):
        scenario.script({"ok": True}, {"status": 413, "body": "too long"}, ignore=["n"])
        ballots, _ = ask(scenario, (0, 1, 2))
        assert [ballot.failed for ballot in ballots] == [False, True, True]
        assert [ballot.sample for ballot in ballots] == [0, 1, 2]
        assert len(scenario.seen) == 2


class TestCost:
    def test_a_known_model_has_its_price(self, scenario, tmp_path, monkeypatch):
        table = tmp_path / "prices.yaml"
        table.write_text("some-model: {prompt: 1.0, cached: 0.5, answer: 10.0}")
        monkeypatch.setenv("RAGEMO_PRICES", str(table))
        ballots, model = ask(scenario, (0, 1))
        total = sum(ballot.usage.cost for ballot in ballots)
        assert total == pytest.approx((67 * 1.0 + 33 * 0.5 + 14 * 10.0) / 1e6)
        assert model.price(1_000_000, 100_000) == pytest.approx(2.0)

    def test_an_unknown_model_elsewhere_has_none(self, monkeypatch):
        model = OpenAIModel("nobody/knows", base_url="https://llm.example/v1")
        assert model.price(10, 10) is None
        assert OpenAIModel("gpt-4o").price(10**6, 0) == 2.5
        for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
            assert OpenAIModel("gpt-4o", base_url=f"http://{host}/v1").price(10**6, 0) == 0.0
        asyncio.run(model.close())


class TestSettings:
    def test_openai_is_asked_by_schema(self):
        model = OpenAIModel("gpt-4o")
        assert model.capabilities.constraint == "json_schema"
        assert model.identity["base_url"] == "https://api.openai.com/v1"

    def test_an_identity_holds_what_determines_an_answer_and_no_secret(self):
        model = OpenAIModel(
            "m",
            base_url="https://user:pa55word@llm.example:8443/v1/",
            temperature=0.2,
            max_answer_tokens=9,
            constraint="none",
            seed=5,
        )
        assert model.identity == {
            "backend": "openai",
            "model": "m",
            "base_url": "https://llm.example:8443/v1",
            "temperature": 0.2,
            "max_answer_tokens": 9,
            "constraint": "none",
            "seed": 5,
        }
        assert not model.exact
        assert json.dumps(model.identity)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"constraint": "json"}, "llm.constraint 'json': .*grammar"),
            ({"temperature": -0.1}, r"llm.temperature is -0\.1"),
            ({"max_answer_tokens": 0}, "llm.max_answer_tokens"),
            ({"concurrency": 0}, "llm.concurrency"),
            ({"attempts": 0}, "llm.attempts"),
            ({"timeout": 0}, "llm.timeout"),
            ({"base_url": "localhost:8000"}, "llm.base_url"),
            ({"base_url": "http://localhost/v1?key=hunter2"}, "goes on after its path(?!.*hunter)"),
            ({"base_url": "http://"}, "llm.base_url"),
            ({"base_url": "http://u:secret99@[bad/v1"}, "^(?!.*secret99).*llm.base_url"),
            ({"base_url": "http://host:port/v1"}, "llm.base_url"),
        ],
    )
    def test_a_wrong_setting_is_named(self, settings, says):
        with pytest.raises(SettingsError, match=says):
            OpenAIModel("m", **settings)


class TestDescribe:
    def describe(self, scenario, **settings):
        model = OpenAIModel(
            "model-3", **{"base_url": scenario.url, "backoff": 0.01, "attempts": 2} | settings
        )

        async def work():
            try:
                return await model.describe()
            finally:
                await model.close()

        report = asyncio.run(work())
        assert KEY not in json.dumps(report)
        return report

    def test_a_good_server(self, scenario):
        scenario.script(answers=["blue"], constraint="grammar")
        report = self.describe(scenario)
        assert report["reachable"]
        assert report["models"] == [f"model-{number}" for number in range(20)]
        assert report["model_listed"]
        assert (report["constraint"], report["constraint_kept"]) == ("grammar", True)
        assert report["n"] is report["seed"] is report["temperature"] is report["logprobs"] is True
        assert report["price"] == {"prompt": 0.0, "cached": 0.0, "answer": 0.0}
        assert report["errors"] == []
        assert len(scenario.seen) == 2

    def test_a_server_that_can_do_little(self, scenario):
        scenario.script(
            answers=["blue"],
            ignore=["n", "response_format"],
            refuse={
                "temperature": [400, {"error": OPENAI_TEMPERATURE}],
                **refusal("seed", "Unknown parameter: seed"),
                **refusal("logprobs", "logprobs are not supported"),
            },
        )
        report = self.describe(scenario)
        assert (report["constraint"], report["constraint_kept"]) == ("json_schema", False)
        assert report["n"] is report["seed"] is report["temperature"] is report["logprobs"] is False
        assert report["errors"] == []
        assert len(scenario.seen) <= 8

    def test_a_refused_key(self, scenario):
        scenario.script(*[{"status": 401, "body": {"error": KEY}}] * 9)
        report = self.describe(scenario)
        assert report["reachable"]
        assert report["n"] is None
        assert "OPENAI_API_KEY" in report["errors"][0]

    def test_a_server_that_is_broken(self, scenario):
        scenario.script(*[{"status": 500, "body": KEY}] * 9)
        report = self.describe(scenario)
        assert report["reachable"]
        assert "HTTP 500" in report["errors"][0]

    def test_no_server(self, scenario):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
            report = self.describe(scenario, base_url=address)
        assert not report["reachable"]
        assert len(report["errors"]) == 1
        assert "cannot connect" in report["errors"][0]


def test_who_was_answered_before_all_is_stopped_is_not_taken_for_not_sent(scenario):
    """One at a time: thoughts without an answer to the first, then to the second, in flight at the
    stop; the third waits for its turn."""
    scenario.script({"ok": True}, {"sleep": 1.5}, think=100)

    async def calls():
        model = OpenAIModel("some-model", base_url=scenario.url, concurrency=1)

        async def outcome():
            try:
                return await model.ask(PROMPT, LABELS, [0])
            except asyncio.CancelledError as stopped:  # a task would forget which one it was
                return type(stopped)

        many = asyncio.gather(*(outcome() for _ in range(3)))
        while len(scenario.seen) < 2:
            await asyncio.sleep(0.01)
        stop_paces()
        try:
            return await many
        finally:
            await model.close()

    assert asyncio.run(calls()) == [asyncio.CancelledError, asyncio.CancelledError, NotSentError]
    assert len(scenario.seen) == 2
