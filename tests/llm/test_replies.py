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

    def test_an_answer_in_parts_is_what_its_texts_say(self, scenario):
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "anger?"}]}
        content = [thought, {"type": "text", "text": "jo"}, {"type": "text", "text": "y"}]
        scenario.script({"status": 200, "body": {"choices": [{"message": {"content": content}}]}})
        (ballot,), _ = ask(scenario)
        assert ballot.answer == "joy"

    @pytest.mark.parametrize(
        "failed",
        [
            {"finish_reason": "error", "message": {"content": "jo"}},
            {"error": {"code": 502, "message": "upstream"}, "message": {"content": ""}},
        ],
    )
    def test_an_answer_that_broke_off_is_asked_for_again(self, scenario, failed):
        scenario.script({"status": 200, "body": {"choices": [failed]}}, answers=["joy"])
        (ballot,), _ = ask(scenario)
        assert (ballot.answer, len(scenario.seen)) == ("joy", 2)

    def test_answers_that_all_break_off_are_a_failure(self, scenario):
        failed = {"error": {"code": 502, "message": "upstream is gone"}, "message": {}}
        scenario.script(*[{"status": 200, "body": {"choices": [failed]}}] * 3)
        (ballot,), _ = ask(scenario)
        assert ballot.failed
        assert "broke its answer off: upstream is gone" in ballot.error

    def test_of_several_answers_only_those_that_broke_off_are_asked_for_again(self, scenario):
        good = {"index": 0, "finish_reason": "stop", "message": {"content": "joy"}}
        body = {"choices": [good, good | {"index": 1, "finish_reason": "error"}]}
        scenario.script({"status": 200, "body": body}, answers=["anger"])
        ballots, model = ask(scenario, (0, 1))
        assert [ballot.answer for ballot in ballots] == ["joy", "anger"]
        assert model.capabilities.largest_n > 1, "it was no lack of room"

    @pytest.mark.parametrize("lost", [{"finish_reason": "error"}, None])
    def test_no_answer_takes_the_number_of_another(self, scenario, lost):
        """It was drawn with the third seed, with which the third answer will be drawn again."""
        choices = [
            {"index": number, "finish_reason": "stop", "message": {"content": answer}}
            for number, answer in enumerate(["joy", "joy", "neutral"])
        ]
        choices[1:2] = [choices[1] | lost] if lost else []
        scenario.script({"status": 200, "body": {"choices": choices}}, answers=["anger", "neutral"])
        ballots, _ = ask(scenario, (0, 1, 2))
        assert [ballot.answer for ballot in ballots] == ["joy", "anger", "neutral"]
        assert len(scenario.seen) > 1

    def test_nothing_is_used_where_the_first_answer_broke_off(self, scenario):
        good = {"index": 1, "finish_reason": "stop", "message": {"content": "neutral"}}
        body = {"choices": [good, good | {"index": 0, "finish_reason": "error"}]}
        scenario.script({"status": 200, "body": body}, answers=["joy", "anger"])
        ballots, _ = ask(scenario, (0, 1))
        assert [ballot.answer for ballot in ballots] == ["joy", "anger"]

    def test_answers_that_are_not_numbered_all_count(self, scenario):
        said = ["joy", "anger", "joy"]
        choices = [{"index": 0, "message": {"content": answer}} for answer in said]
        scenario.script({"status": 200, "body": {"choices": choices}})
        ballots, _ = ask(scenario, (0, 1, 2))
        assert [ballot.answer for ballot in ballots] == said
        assert len(scenario.seen) == 1


class TestTokens:
    @pytest.mark.parametrize(
        ("usage", "paid"),
        [
            ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 1_011}, 1_002),
            ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}, 2),
            ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 5}, 2),
            ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": "many"}, 2),
            ({"prompt_tokens": None, "completion_tokens": 2, "total_tokens": 1_011}, 2),
        ],
    )
    def test_thoughts_that_stand_in_the_total_alone_are_paid_for(self, scenario, usage, paid):
        choice = {"finish_reason": "stop", "message": {"content": "joy"}}
        scenario.script({"status": 200, "body": {"choices": [choice], "usage": usage}})
        (ballot,), _ = ask(scenario)
        assert ballot.usage.answer_tokens == paid

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
