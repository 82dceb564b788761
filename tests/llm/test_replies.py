"""What a chat completion holds, and what is made of one that holds less."""

import pytest

from tests.llm.asking import PROMPT, ask

pytestmark = pytest.mark.usefixtures("api_environment")


class TestAnswers:
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

    def test_more_choices_than_asked_for_are_not_used(self, scenario):
        choice = {"finish_reason": "stop", "message": {"content": "joy"}}
        scenario.script({"status": 200, "body": {"choices": [choice] * 3}})
        ballots, _ = ask(scenario, (0,))
        assert len(ballots) == 1


class TestTokens:
    def test_an_endpoint_that_does_not_count(self, scenario):
        scenario.script(no_usage=True, answers=["neutral"])
        ballots, _ = ask(scenario, (0, 1))
        assert sum(ballot.usage.prompt_tokens for ballot in ballots) == PROMPT.tokens
        assert all(ballot.usage.answer_tokens > 0 for ballot in ballots)

    @pytest.mark.parametrize(
        "usage", [{"prompt_tokens": None}, {"prompt_tokens": -3}, {"prompt_tokens": 10**9}, {}]
    )
    def test_a_broken_count(self, scenario, usage):
        choice = {"finish_reason": "stop", "message": {"content": "joy"}}
        scenario.script({"status": 200, "body": {"choices": [choice], "usage": usage}})
        (ballot,), _ = ask(scenario)
        assert ballot.usage.prompt_tokens == PROMPT.tokens
