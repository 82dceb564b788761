"""The API backend against a server that misbehaves on purpose."""

import asyncio
import dataclasses
import email.utils
import json
import re
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.errors import EndpointError, SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.openai_model import OpenAIModel, estimate_tokens, label_grammar, label_schema
from ragemo.types import Message, Prompt

KEY = "sk-live-0123456789abcdef"
LABELS = LabelSet.from_dict(
    {
        "name": "three",
        "labels": [
            {"name": "hap", "word": "joy"},
            {"name": "ang", "word": "anger"},
            {"name": "neu", "word": "neutral"},
        ],
    }
)
JOY, ANGER, NEUTRAL = (LABELS.one_hot(name) for name in LABELS.names)
PROMPT = Prompt("u1", (Message("system", "Label."), Message("user", 'A: "Yay!"')), tokens=40)


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    # No TLS on loopback: reading the usual certificates takes longer than most of these tests.
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    for name in ("OPENAI_BASE_URL", "RAGEMO_PRICES", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def ask(scenario, samples=(0,), *, prompts=1, **settings):
    """The ballots of one prompt; and the model, closed."""
    settings = {"backoff": 0.01, "timeout": 5.0, "attempts": 3} | settings
    settings.setdefault("base_url", scenario and scenario.url)
    model = OpenAIModel(settings.pop("name", "some-model"), **settings)

    async def work():
        try:
            many = (model.ask(PROMPT, LABELS, samples) for _ in range(prompts))
            return await asyncio.gather(*many)
        finally:
            await model.close()

    ballots = [ballot for some in asyncio.run(work()) for ballot in some]
    assert KEY not in repr(ballots) + repr(model.identity)
    return ballots, model


def fails(scenario, **settings):
    """The error of a call that takes a run down."""
    with pytest.raises(EndpointError) as caught:
        ask(scenario, **settings)
    assert KEY not in str(caught.value)
    return caught.value


OPENAI_429 = {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit"}}


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

    def test_no_choices_is_an_empty_answer(self, scenario):
        body = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0}}
        scenario.script({"status": 200, "body": body})
        ballots, model = ask(scenario, (0, 1))
        assert [ballot.answer for ballot in ballots] == ["", "joy"]
        assert [ballot.invalid for ballot in ballots] == [True, False]
        assert [ballot.usage.prompt_tokens for ballot in ballots] == [9, 100]
        assert model.capabilities.largest_n > 1, "nothing was learned from nothing"

    @pytest.mark.parametrize("message", [None, {}, {"content": None}, {"content": ["joy"]}, "joy"])
    def test_no_content_is_an_empty_answer(self, scenario, message):
        scenario.script({"status": 200, "body": {"choices": [{"message": message}]}})
        (ballot,), _ = ask(scenario)
        assert ballot.invalid
        assert ballot.answer == ""

    def test_a_key_in_an_answer_is_not_kept(self, scenario):
        scenario.script(echo_key=True)
        (ballot,), _ = ask(scenario, constraint="none")
        assert ballot.answer == "Bearer [secret]"

    def test_half_a_character_can_be_saved(self, scenario):
        scenario.script(answers=["joy\ud83d"])
        (ballot,), _ = ask(scenario, constraint="none")
        assert ballot.answer == "joy?"
        assert ballot.answer.encode("utf-8")

    def test_a_prompt_that_cannot_be_sent_is_a_failure(self, scenario):
        broken = Prompt("u2", (Message("user", "half \ud83d a character"),), tokens=9)
        model = OpenAIModel("some-model", base_url=scenario.url)

        async def work():
            try:
                return await model.ask(broken, LABELS, (0,))
            finally:
                await model.close()

        (ballot,) = asyncio.run(work())
        assert "cannot be sent" in ballot.error
        assert scenario.seen == []


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

    def test_a_refused_n_costs_no_temperature(self, scenario):
        words = "n must be 1 if the temperature is 0"
        scenario.script({"status": 400, "body": {"error": {"message": words}}})
        ask(scenario, (0, 1), temperature=0)
        assert [request.get("n") for request in scenario.seen] == [2, None, None]
        assert [request["temperature"] for request in scenario.seen] == [0, 0, 0]

    def test_a_refused_n_is_halved(self, scenario):
        words = "Field 'n': Value must be between 1 <= value <= 2, but got 5"
        body = {"error": {"code": 400, "message": words, "type": "invalid_request_error"}}
        scenario.script({"status": 400, "body": body})
        ballots, _ = ask(scenario, range(5))
        assert [ballot.sample for ballot in ballots] == [0, 1, 2, 3, 4]
        assert [request.get("n", 1) for request in scenario.seen] == [5, 2, 2, 1]

    def test_more_choices_than_asked_for_are_not_used(self, scenario):
        choice = {"finish_reason": "stop", "message": {"content": "joy"}}
        scenario.script({"status": 200, "body": {"choices": [choice] * 3}})
        ballots, _ = ask(scenario, (0,))
        assert len(ballots) == 1

    def test_none_at_all(self, scenario):
        assert ask(scenario, ())[0] == []
        assert scenario.seen == []

    def test_what_came_before_a_failure_is_kept(self, scenario):
        scenario.script({"ok": True}, {"status": 413, "body": "too long"}, ignore=["n"])
        ballots, _ = ask(scenario, (0, 1, 2))
        assert [ballot.failed for ballot in ballots] == [False, True, True]
        assert [ballot.sample for ballot in ballots] == [0, 1, 2]
        assert len(scenario.seen) == 2


class TestPassingFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 429, "body": OPENAI_429},
            {"status": 429, "body": OPENAI_429, "headers": {"retry-after": "soon"}},
            {"status": 429, "body": OPENAI_429, "headers": {"retry-after": "-5"}},
            {"status": 429, "body": OPENAI_429, "headers": {"retry-after": "nan"}},
            {"status": 408},
            {"status": 500, "body": {"error": {"message": "The server had an error"}}},
            {"status": 503, "body": "<html><a href=schema.org>grammar</a></html>"},
            {"status": 502, "body": "<!DOCTYPE html>", "type": "text/html"},
            {"status": 529, "body": ""},
            {"reset": True},
            {"cut": 20},
            {"status": 200, "body": '{"choices": [{"mess'},
            {"status": 200, "body": "<html>Please log in</html>", "type": "text/html"},
            {"status": 200, "body": {"error": {"message": "upstream is busy", "code": 502}}},
            {"status": 200, "body": "null"},
            {"status": 200, "body": ""},
        ],
        ids=lambda fault: json.dumps(fault)[:60],
    )
    def test_it_is_tried_again(self, scenario, fault):
        scenario.script(fault, fault)
        started = time.monotonic()
        (ballot,), model = ask(scenario)
        assert ballot.distribution == JOY
        assert len(scenario.seen) == 3
        assert time.monotonic() - started < 5
        assert model.capabilities.constraint == "grammar", "a passing fault teaches nothing"

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            ({"status": 429, "body": OPENAI_429}, "HTTP 429 .*Rate limit reached"),
            ({"status": 503, "body": "<html>x</html>", "type": "text/html"}, "503 .*HTML page"),
            ({"status": 500, "body": {"error": f"bad key {KEY}"}}, r"500 .*bad key \[secret\]"),
            ({"reset": True}, "connection .* broke"),
            ({"cut": 20}, "JSON|no chat completion"),
            ({"status": 200, "body": {"error": {"message": "busy"}}}, "no chat completion: .*busy"),
            ({"sleep": 0.6}, r"did not answer within 0\.2 s"),
            ({"trickle": 0.6}, r"did not answer within 0\.2 s"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_after_some_attempts_the_ballot_fails(self, scenario, fault, says):
        scenario.script({"ok": True}, *[fault] * 9)
        ask(scenario)  # the endpoint has answered before
        late = {"sleep", "trickle"} & set(fault)
        (ballot, other), _ = ask(scenario, (3, 4), timeout=0.2 if late else 5.0, attempts=2)
        assert ballot.failed
        assert not ballot.invalid
        assert ballot.distribution is None
        assert (ballot.sample, other.sample) == (3, 4)
        assert ballot.error == other.error
        assert re.search(says, ballot.error)
        assert "\n" not in ballot.error
        assert len(scenario.seen) == 3
        assert ballot.usage.seconds > 0

    def test_a_slow_answer_is_given_up_and_asked_for_again(self, scenario):
        scenario.script({"sleep": 1.0}, {"trickle": 1.0})
        started = time.monotonic()
        (ballot,), _ = ask(scenario, timeout=0.4)
        assert ballot.distribution == JOY
        assert len(scenario.seen) == 3
        assert 0.8 < time.monotonic() - started < 3

    @pytest.mark.parametrize("form", ["seconds", "date"])
    def test_retry_after_is_waited_for(self, scenario, form):
        started = time.monotonic()
        # A date has no fractions of a second: 2 s ahead is at least 1 s from now.
        date = email.utils.formatdate(time.time() + 2, usegmt=True)
        seconds = "0.5" if form == "seconds" else date
        fault = {"status": 429, "body": OPENAI_429, "headers": {"retry-after": seconds}}
        scenario.script(fault)
        (ballot,), _ = ask(scenario)
        assert ballot.distribution == JOY
        assert 0.5 <= time.monotonic() - started < 5
        assert len(scenario.seen) == 2

    def test_nobody_waits_for_an_hour(self, scenario):
        fault = {"status": 429, "body": OPENAI_429, "headers": {"retry-after": "3600"}}
        scenario.script(fault)
        (ballot,), _ = ask(scenario)
        assert ballot.failed
        assert "3600 s" in ballot.error
        assert len(scenario.seen) == 1

    @pytest.mark.parametrize("status", [400, 413, 422])
    def test_a_refused_prompt_is_not_sent_again(self, scenario, status):
        words = "This model's maximum context length is 10 tokens, and you sent 40."
        scenario.script({"status": status, "body": {"error": {"message": words}}})
        (ballot,), _ = ask(scenario)
        assert ballot.failed
        assert words in ballot.error
        assert len(scenario.seen) == 1

    def test_one_flagged_prompt_does_not_end_a_run(self, scenario):
        body = {"error": {"code": 403, "message": "Your input was flagged by moderation"}}
        scenario.script({"status": 403, "body": body})
        (ballot,), _ = ask(scenario)
        assert "flagged" in ballot.error


class TestHopelessFaults:
    @pytest.mark.parametrize(
        ("status", "body", "says"),
        [
            (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "OPENAI_API_KEY"),
            (401, f"<html>{KEY}</html>", "OPENAI_API_KEY"),
            (402, {"error": {"message": "Insufficient balance"}}, "credit"),
            (403, {"error": {"message": "Country not supported"}}, "Country not supported"),
            (404, {"error": {"message": "no such model", "code": "model_not_found"}}, "some-model"),
            (404, {"detail": "Not Found"}, "/v1"),
            (429, {"error": {"message": "quota", "code": "insufficient_quota"}}, "credit"),
            (400, {"error": {"message": "?", "code": "model_not_found"}}, "ragemo doctor"),
        ],
    )
    def test_it_ends_the_run_at_once(self, scenario, status, body, says):
        scenario.script(*[{"status": status, "body": body}] * 3)
        error = fails(scenario)
        assert says in str(error)
        assert scenario.url in str(error)
        assert not error.retryable
        assert len(scenario.seen) == 1

    def test_a_server_that_is_not_there(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))  # and never listens
            address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
            with pytest.raises(EndpointError, match="cannot connect") as caught:
                ask(None, base_url=address, attempts=2)
        assert caught.value.retryable
        assert address in str(caught.value)

    def test_a_server_that_does_not_accept(self):
        """As behind a firewall that drops what comes: the queue of connections is full."""
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for other in (first, second):
                other.setblocking(False)
                other.connect_ex(full.getsockname())
            address = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
            with pytest.raises(EndpointError, match="cannot connect"):
                ask(None, base_url=address, attempts=2, timeout=0.6)


def refusal(field, message, status=400):
    return {field: [status, {"error": {"message": message, "param": None}}]}


OPENAI_TEMPERATURE = {
    "message": "Unsupported value: 'temperature' does not support 0.7 with this model. "
    "Only the default (1) value is supported.",
    "type": "invalid_request_error",
    "param": "temperature",
    "code": "unsupported_value",
}
OPENAI_MAX_TOKENS = {
    "message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead.",
    "type": "invalid_request_error",
    "param": "max_tokens",
    "code": "unsupported_parameter",
}
LLAMA_CPP_SERVER = (
    "[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), "
    "'msg': \"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}]"
)


class TestLearning:
    def test_by_default_both_kinds_of_grammar_are_sent(self, scenario):
        ask(scenario)
        (request,) = scenario.seen
        assert request["grammar"] == 'root ::= "joy" | "anger" | "neutral"'
        assert request["structured_outputs"] == {"choice": ["joy", "anger", "neutral"]}
        assert "response_format" not in request

    @pytest.mark.parametrize("obeyed", ["grammar", "structured_outputs"])
    def test_a_kept_grammar_stays(self, scenario, obeyed):
        scenario.script(answers=["blah"], constraint=obeyed)
        ballots, model = ask(scenario, (0, 1))
        assert [ballot.distribution for ballot in ballots] == [JOY, JOY]
        assert len(scenario.seen) == 1
        assert model.capabilities.constraint == "grammar"

    def test_a_grammar_passed_over_gives_way_to_a_schema(self, scenario):
        """As with Ollama, which knows neither field and says nothing."""
        scenario.script(answers=["The feeling here is joy"], constraint="response_format")
        ballots, model = ask(scenario, (0, 1))
        assert [ballot.distribution for ballot in ballots] == [JOY, JOY]
        assert [ballot.answer for ballot in ballots] == ['{"label": "joy"}'] * 2
        first, second = scenario.seen
        assert "grammar" in first
        assert "grammar" not in second
        assert second["response_format"]["json_schema"]["schema"]["properties"]["label"] == {
            "type": "string",
            "enum": ["joy", "anger", "neutral"],
        }
        assert second["max_tokens"] > first["max_tokens"], "braces take room of their own"
        assert model.capabilities.constraint == "json_schema"
        assert sum(ballot.usage.prompt_tokens for ballot in ballots) == 200, "both were paid for"

    def test_a_constraint_chosen_by_name_is_kept_to(self, scenario):
        scenario.script(answers=["The feeling here is joy"], constraint="response_format")
        (ballot,), _ = ask(scenario, constraint="grammar")
        assert ballot.invalid
        assert len(scenario.seen) == 1

    @pytest.mark.parametrize("chosen", ["grammar", "json_schema"])
    def test_a_constraint_chosen_by_name_and_refused_ends_the_run(self, scenario, chosen):
        fields = {"grammar": "grammar", "json_schema": "response_format"}
        scenario.script(refuse=refusal(fields[chosen], f"unknown field {fields[chosen]}"))
        error = fails(scenario, constraint=chosen)
        assert "llm.constraint" in str(error)
        assert len(scenario.seen) == 1

    @pytest.mark.parametrize(
        "refuse",
        [
            refusal("grammar", "Unrecognized request argument supplied: grammar"),
            refusal("grammar", "property 'structured_outputs' is unsupported"),
            {
                "grammar": [
                    422,
                    {"detail": [{"loc": ["body", "grammar"], "msg": "extra_forbidden"}]},
                ]
            },
        ],
    )
    def test_a_refused_grammar_gives_way_to_a_schema(self, scenario, refuse):
        scenario.script(refuse=refuse, constraint="response_format")
        (ballot,), model = ask(scenario)
        assert ballot.answer == '{"label": "joy"}'
        assert len(scenario.seen) == 2
        assert model.capabilities.constraint == "json_schema"

    @pytest.mark.parametrize("status", [400, 422, 500])
    def test_a_refused_schema_gives_way_to_none(self, scenario, status):
        refuse = refusal("grammar", "unknown field `grammar`")
        refuse |= refusal("response_format", LLAMA_CPP_SERVER, status)
        scenario.script(refuse=refuse, answers=["anger"])
        started = time.monotonic()
        (ballot,), model = ask(scenario, backoff=30.0)
        assert time.monotonic() - started < 5, "a refusal is answered at once, without a wait"
        assert ballot.distribution == ANGER
        assert len(scenario.seen) == 3
        assert not {"response_format", "grammar"} & set(scenario.seen[-1])
        assert model.capabilities.constraint == "none"

    def test_a_reasoning_model_refuses_one_thing_after_another(self, scenario):
        scenario.script(
            refuse={
                "max_tokens": [400, {"error": OPENAI_MAX_TOKENS}],
                "temperature": [400, {"error": OPENAI_TEMPERATURE}],
                **refusal("seed", "Unknown parameter: 'seed'."),
                **refusal("grammar", "Unknown parameter: 'grammar'."),
                **refusal("n", "Unsupported value: 'n' must be 1"),
            },
            constraint="response_format",
            think=100,
        )
        ballots, model = ask(scenario, (0, 1))
        assert [ballot.distribution for ballot in ballots] == [JOY, JOY]
        last = scenario.seen[-1]
        assert not {"max_tokens", "temperature", "seed", "grammar", "n"} & set(last)
        assert last["max_completion_tokens"] > 1000, "there is room to think"
        # Five refusals, one answer cut off while it was thought about, two good ones.
        assert len(scenario.seen) == 8
        assert sum(ballot.usage.prompt_tokens for ballot in ballots) == 300
        assert model.identity["temperature"] == 0.7, "an identity does not change on the way"

    def test_what_was_learned_is_remembered(self, scenario):
        scenario.script(refuse={"temperature": [400, {"error": OPENAI_TEMPERATURE}]})
        model = OpenAIModel("some-model", base_url=scenario.url, backoff=0.01)

        async def work():
            for _ in range(3):
                await model.ask(PROMPT, LABELS, (0,))
            await model.close()

        asyncio.run(work())
        assert ["temperature" in request for request in scenario.seen] == [True] + [False] * 3

    def test_calls_side_by_side_learn_together(self, scenario):
        scenario.script(
            refuse={
                "max_tokens": [400, {"error": OPENAI_MAX_TOKENS}],
                "temperature": [400, {"error": OPENAI_TEMPERATURE}],
            },
            ignore=["n"],
            answers=["Well, joy"],
            constraint="response_format",
        )
        ballots, _ = ask(scenario, (0, 1), prompts=8)
        assert [ballot.distribution for ballot in ballots] == [JOY] * 16
        assert len(scenario.seen) <= 8 * (2 + 1 + 2)

    def test_a_late_refusal_undoes_nothing(self, scenario):
        """One call learns two things while another waits to be told the first of them."""
        scenario.script(
            {"ok": True},
            {"sleep": 0.8},
            refuse={
                "temperature": [400, {"error": OPENAI_TEMPERATURE}],
                "max_tokens": [400, {"error": OPENAI_MAX_TOKENS}],
            },
        )
        ballots, _ = ask(scenario, prompts=2)
        assert [ballot.distribution for ballot in ballots] == [JOY, JOY]
        said = ["max_tokens" in request for request in scenario.seen]
        assert said == sorted(said, reverse=True), "never again once it was left out"

    def test_a_late_answer_undoes_nothing(self, scenario):
        """One call finds that grammar and schema do not work while another waits."""
        refuse = refusal("response_format", "no response_format here")
        scenario.script({"ok": True}, {"sleep": 0.8}, refuse=refuse, answers=["Joy."])
        ballots, _ = ask(scenario, prompts=2)
        assert [ballot.distribution for ballot in ballots] == [JOY, JOY]
        held = [bool({"grammar", "response_format"} & set(request)) for request in scenario.seen]
        assert held == sorted(held, reverse=True), "never again once it was left out"

    def test_thoughts_in_the_answer_get_room(self, scenario):
        thinking = {"finish_reason": "length", "message": {"content": "<think>Hm, she says"}}
        scenario.script(
            {"status": 200, "body": {"choices": [thinking]}}, answers=["<think>Hm</think>anger"]
        )
        (ballot,), model = ask(scenario, constraint="none")
        assert ballot.distribution == ANGER
        assert model.capabilities.thinks
        assert [request["max_tokens"] for request in scenario.seen] == [16, 16 + 4096]

    def test_blanks_up_to_the_limit_are_no_thoughts(self, scenario):
        blanks = {"finish_reason": "length", "message": {"content": " \n" * 8}}
        scenario.script({"status": 200, "body": {"choices": [blanks]}})
        (ballot,), model = ask(scenario, constraint="none")
        assert ballot.invalid
        assert not model.capabilities.thinks

    def test_a_complaint_about_something_else_teaches_nothing(self, scenario):
        body = {"error": {"message": "line 1:\\n tokens in the prompt: too many", "param": None}}
        scenario.script({"status": 400, "body": body})
        ballots, model = ask(scenario, (0, 1))
        assert all(ballot.failed for ballot in ballots)
        assert model.capabilities.largest_n == 128
        assert len(scenario.seen) == 1

    def test_an_echoed_prompt_teaches_nothing(self, scenario):
        """FastAPI repeats the input that it refuses; words of a transcript are no complaint."""
        entry = {"loc": ["body", "messages"], "msg": "too long", "input": "the temperature, a seed"}
        scenario.script({"status": 422, "body": {"detail": [entry]}})
        (ballot,), model = ask(scenario)
        assert ballot.failed
        assert model.capabilities.temperature
        assert model.capabilities.seed

    def test_a_server_that_refuses_everything_is_left_alone_in_the_end(self, scenario):
        words = "no temperature, seed, n, grammar, response_format; use max_completion_tokens"
        scenario.script(*[{"status": 400, "body": {"error": {"message": words}}}] * 99)
        ballots, _ = ask(scenario, range(128))
        assert all(ballot.failed for ballot in ballots)
        assert len(ballots) == 128
        assert len(scenario.seen) == 1 + 3 + 2 + 7


class TestTokensAndCost:
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

    def test_an_endpoint_that_does_not_count(self, scenario):
        scenario.script(no_usage=True, answers=["neutral"])
        ballots, _ = ask(scenario, (0, 1))
        assert sum(ballot.usage.prompt_tokens for ballot in ballots) == PROMPT.tokens
        assert all(ballot.usage.answer_tokens > 0 for ballot in ballots)

    @pytest.mark.parametrize("usage", [{"prompt_tokens": None}, {"prompt_tokens": -3}, {}])
    def test_a_broken_count(self, scenario, usage):
        choice = {"finish_reason": "stop", "message": {"content": "joy"}}
        scenario.script({"status": 200, "body": {"choices": [choice], "usage": usage}})
        (ballot,), _ = ask(scenario)
        assert ballot.usage.prompt_tokens == PROMPT.tokens

    @given(st.text(), st.text())
    def test_the_estimate_grows_with_the_text(self, one, other):
        assert 0 <= estimate_tokens(one) <= estimate_tokens(one + " " + other)
        assert estimate_tokens(one + " " + other) == estimate_tokens(one) + estimate_tokens(other)

    def test_the_estimate_is_of_the_right_size(self):
        text = "Well, I guess I would have to say that I am a little bit nervous about tomorrow!"
        words = len(text.split())
        assert words <= estimate_tokens(text) <= 1.6 * words
        model = OpenAIModel("m", base_url="http://localhost/v1")
        assert not model.counts_exactly
        assert model.count_tokens([Message("user", text)]) == estimate_tokens(text) + 8


class TestConstraints:
    @given(st.lists(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"]),
                            min_size=1), min_size=2, max_size=5))  # fmt: skip
    def test_the_grammar_quotes_any_word(self, words):
        try:
            labels = LabelSet.from_dict({"name": "any", "labels": words})
        except SettingsError:
            return  # two of the words mean the same, or one has no letter
        rule = label_grammar(labels)
        assert rule.startswith("root ::= ")
        # Strings are written as in JSON, so a JSON reader gives the words back.
        rest, read = rule.removeprefix("root ::= "), []
        while rest:
            word, end = json.JSONDecoder().raw_decode(rest)
            read.append(word)
            rest = rest[end:].removeprefix(" | ")
        assert tuple(read) == labels.words

    def test_the_schema_is_strict(self):
        schema = label_schema(LABELS)["json_schema"]
        assert schema["strict"] is True
        assert schema["schema"]["additionalProperties"] is False
        assert schema["schema"]["required"] == ["label"]


class TestSettings:
    def test_no_key_for_openai(self, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(SettingsError, match="set OPENAI_API_KEY"):
            OpenAIModel("gpt-4o")
        monkeypatch.setenv("OPENAI_API_KEY", " ")
        with pytest.raises(SettingsError, match="set OPENAI_API_KEY"):
            OpenAIModel("gpt-4o", base_url="https://api.openai.com/v1/")

    @pytest.mark.parametrize("how", ["argument", "environment"])
    def test_no_key_for_another_server(self, scenario, monkeypatch, how):
        monkeypatch.delenv("OPENAI_API_KEY")
        if how == "environment":
            monkeypatch.setenv("OPENAI_BASE_URL", scenario.url)
        (ballot,), model = ask(scenario, base_url=None if how == "environment" else scenario.url)
        assert ballot.distribution == JOY
        assert model.identity["base_url"] == scenario.url

    @pytest.mark.parametrize(
        "key", ["sk-live 0123456789", "sk-live-\u20ac0123456789", "sk\n-0123456"]
    )
    def test_a_key_that_cannot_be_one_is_not_shown(self, monkeypatch, key):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(SettingsError, match="OPENAI_API_KEY") as caught:
            OpenAIModel("gpt-4o")
        assert "0123456" not in str(caught.value)

    def test_a_key_copied_with_a_line_break(self, scenario, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
        ask(scenario)
        assert scenario.seen[0]["key"] == f"Bearer {KEY}"

    def test_openai_is_asked_by_schema(self):
        model = OpenAIModel("gpt-4o")
        assert model.capabilities.constraint == "json_schema"
        assert model.identity["base_url"] == "https://api.openai.com/v1"

    def test_an_identity_holds_what_determines_an_answer_and_no_secret(self):
        model = OpenAIModel(
            "m",
            base_url="https://user:pa55word@llm.example:8443/v1/?api-key=abc#x",
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
            ({"base_url": "http://"}, "llm.base_url"),
            ({"base_url": "http://u:secret99@[bad/v1"}, "^(?!.*secret99).*llm.base_url"),
            ({"base_url": "http://host:port/v1"}, "llm.base_url"),
        ],
    )
    def test_a_wrong_setting_is_named(self, settings, says):
        with pytest.raises(SettingsError, match=says):
            OpenAIModel("m", **settings)

    def test_capabilities_are_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            OpenAIModel("gpt-4o").capabilities.constraint = "none"


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
        assert len(scenario.seen) <= 6

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
