"""What an error means: for one prompt, or for all."""

import asyncio

import pytest

from ragemo.llm.openai_model import OpenAIModel
from ragemo.types import Message, Prompt
from tests.llm.asking import KEY, LABELS, ask, fails

pytestmark = pytest.mark.usefixtures("api_environment")


class TestOfOnePrompt:
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

    def test_an_odd_kind_of_error_is_one(self, scenario):
        body = {"error": {"message": "boo", "type": ["x"], "code": {"a": 1}}}
        scenario.script(*[{"status": 429, "body": body}] * 3)
        (ballot,), _ = ask(scenario)
        assert "boo" in ballot.error

    def test_one_that_a_guardrail_blocks_neither(self, scenario):
        body = {"error": {"code": 403, "message": "Blocked by guardrail: content policy"}}
        scenario.script({"status": 403, "body": body})
        (ballot,), _ = ask(scenario)
        assert "guardrail" in ballot.error

    def test_fields_are_named_in_whatever_form_they_come(self, scenario):
        detail = [{"loc": ["body", "messages"], "msg": "too long"}, "shorten it"]
        scenario.script({"status": 422, "body": {"detail": detail}})
        (ballot,), _ = ask(scenario)
        assert "['body', 'messages']: too long; shorten it" in ballot.error

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


class TestOfAllPrompts:
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
            (429, {"error": {"message": "?", "code": "billing_not_active"}}, "credit"),
            (402, {"error": {"message": "?", "type": ["x"], "code": {}}}, "credit"),
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
