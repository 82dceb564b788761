"""What is learned of an endpoint that can do less than others."""

import asyncio
import dataclasses

import pytest

from ragemo.llm.openai_model import OpenAIModel
from tests.llm.asking import (
    ANGER,
    JOY,
    LABELS,
    OPENAI_MAX_TOKENS,
    OPENAI_TEMPERATURE,
    PROMPT,
    ask,
    fails,
    refusal,
)

LLAMA_CPP_SERVER = (
    "[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), "
    "'msg': \"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}]"
)

pytestmark = pytest.mark.usefixtures("api_environment")


class TestConstraint:
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

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_constraint_for_which_there_is_no_room_just_now_is_kept(self, scenario, status):
        words = "Rate limit reached for requests with response_format or grammar"
        busy = {"status": status, "body": {"error": {"message": words}}}
        scenario.script(busy | {"headers": {"retry-after": "0.05"}}, busy)
        (ballot,), model = ask(scenario)
        assert ballot.distribution is not None
        assert len(scenario.seen) == 3
        assert model.capabilities.constraint == "grammar"

    @pytest.mark.parametrize("status", [400, 422, 500])
    def test_a_refused_schema_gives_way_to_none(self, scenario, status):
        refuse = refusal("grammar", "unknown field `grammar`")
        refuse |= refusal("response_format", LLAMA_CPP_SERVER, status)
        scenario.script(refuse=refuse, answers=["anger"])
        # A refusal is answered at once: who waited would not come back before the deadline.
        (ballot,), model = ask(scenario, backoff=30.0, deadline=20)
        assert ballot.distribution == ANGER
        assert len(scenario.seen) == 3
        assert not {"response_format", "grammar"} & set(scenario.seen[-1])
        assert model.capabilities.constraint == "none"


class TestSeveralAnswers:
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


class TestThoughts:
    def test_thoughts_in_the_answer_get_room(self, scenario):
        thinking = {"finish_reason": "length", "message": {"content": "<think>Hm, she says"}}
        scenario.script(
            {"status": 200, "body": {"choices": [thinking]}}, answers=["<think>Hm</think>anger"]
        )
        (ballot,), model = ask(scenario, constraint="none")
        assert ballot.distribution == ANGER
        assert model.capabilities.thinks
        assert [request["max_tokens"] for request in scenario.seen] == [16, 16 + 4096]

    def test_thoughts_that_a_failure_follows_are_paid_for(self, scenario, monkeypatch, tmp_path):
        table = tmp_path / "prices.yaml"
        table.write_text("some-model: {prompt: 10, answer: 20}\n")
        monkeypatch.setenv("RAGEMO_PRICES", str(table))
        thinking = {"finish_reason": "length", "message": {"content": "<think>Hm, she says"}}
        body = {"choices": [thinking], "usage": {"prompt_tokens": 101, "completion_tokens": 16}}
        refused = {"error": {"message": "flagged by the content policy"}}
        scenario.script({"status": 200, "body": body}, {"status": 400, "body": refused})
        ballots, _ = ask(scenario, (0, 1), constraint="none")
        assert all("content policy" in ballot.error for ballot in ballots)
        usages = [ballot.usage for ballot in ballots]
        assert [usage.prompt_tokens for usage in usages] == [51, 50]
        assert [usage.answer_tokens for usage in usages] == [8, 8]
        assert sum(usage.cost for usage in usages) == pytest.approx((1010 + 320) / 1e6)

    def test_an_error_in_place_of_thoughts_gets_room(self, scenario):
        words = (
            "Could not finish the message because max_tokens or model output limit was reached. "
            "Please try again with higher max_tokens."
        )
        scenario.script({"status": 400, "body": {"error": {"message": words}}}, answers=["joy"])
        (ballot,), model = ask(scenario)
        assert (ballot.answer, len(scenario.seen)) == ("joy", 2)
        assert model.capabilities.thinks

    @pytest.mark.parametrize(
        "words",
        [
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2",
            "Input validation error: `temperature` must be strictly positive",
        ],
    )
    def test_a_temperature_out_of_range_is_no_lack_of_temperatures(self, scenario, words):
        scenario.script({"status": 422, "body": {"error": {"message": words}}})
        error = fails(scenario, temperature=2.5)
        assert "set llm.temperature" in str(error)
        assert len(scenario.seen) == 1

    def test_blanks_up_to_the_limit_are_no_thoughts(self, scenario):
        blanks = {"finish_reason": "length", "message": {"content": " \n" * 8}}
        scenario.script({"status": 200, "body": {"choices": [blanks]}})
        (ballot,), model = ask(scenario, constraint="none")
        assert ballot.invalid
        assert not model.capabilities.thinks


class TestLearning:
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

    def test_capabilities_are_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            OpenAIModel("gpt-4o").capabilities.constraint = "none"
