"""Asking for log-probabilities, and what comes back in their stead."""

import asyncio
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.llm import load_openai
from ragemo.llm.label_probabilities import label_probabilities
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.replies import read_reply
from ragemo.settings import resolve_settings
from tests.llm.asking import ANGER, JOY, LABELS, PROMPT, ask, fails, refusal

LOG_OF_A_FIFTH = math.log(0.2)
OPENAI_REASONS = {"message": "You are not allowed to request logprobs from this model"}
AZURE = {
    "message": "Invalid value for 'top_logprobs': must be less than or equal to 5.",
    "type": "invalid_request_error",
    "param": "top_logprobs",
    "code": None,
}


def entry(text, logprob, *others):
    """A token as OpenAI writes it; the others are pairs of a text and a log-probability."""
    return {
        "token": text,
        "logprob": logprob,
        "bytes": list(text.encode()),
        "top_logprobs": [
            {"token": other, "logprob": value, "bytes": list(other.encode())}
            for other, value in others
        ],
    }


def joy_or_anger(anger=LOG_OF_A_FIFTH):
    return [entry("joy", math.log(0.8), ("joy", math.log(0.8)), ("ang", anger))]


def probabilities(content, answer="joy"):
    """What is made of the `logprobs.content` of an answer."""
    choice = {"message": {"content": answer}, "logprobs": {"content": content}}
    reply = read_reply({"choices": [choice]}, 1, 10)
    assert reply.answers == (answer,)
    return label_probabilities(answer, reply.tokens[0], LABELS)


class TestReading:
    def test_as_openai_writes_it(self):
        assert probabilities(joy_or_anger()) == pytest.approx((0.8, 0.2, 0))

    @pytest.mark.parametrize("logprob", [-math.inf, -9999.0, -1e300, -(10**400)])
    def test_a_probability_of_nothing(self, logprob):
        assert probabilities(joy_or_anger(logprob)) == JOY

    @pytest.mark.parametrize("logprob", [None, math.nan, "-1", 5.0, math.inf, True, False, [], {}])
    def test_what_is_no_log_probability_is_passed_over(self, logprob):
        assert probabilities(joy_or_anger(logprob)) == pytest.approx((0.8, 0.1, 0.1))

    def test_a_log_probability_rounded_to_more_than_0(self):
        assert probabilities([entry("joy", 1e-7, ("joy", 1e-7))]) == JOY

    def test_the_list_stands_in_for_a_token_without_one(self):
        content = joy_or_anger()
        content[0]["logprob"] = None
        assert probabilities(content) == pytest.approx((0.8, 0.2, 0))

    def test_a_token_without_one_anywhere(self):
        assert probabilities([entry("joy", None)]) is None

    @pytest.mark.parametrize("value", [None, [], [256], [-1], [1.5], "joy", [None], [[1]]])
    def test_bytes_that_are_missing_or_wrong(self, value):
        """Special tokens have none, and an end of turn is not always empty."""
        content = [*joy_or_anger(), entry("</s>", -0.1)]
        content[1]["bytes"] = value
        assert probabilities(content) == pytest.approx((0.8, 0.2, 0))

    def test_a_token_without_any_text(self):
        assert probabilities([*joy_or_anger(), {"logprob": -1.0}]) is None

    @pytest.mark.parametrize("content", [None, [], "joy", 7, [None], [[]], [{"token": 3}], {}])
    def test_no_tokens(self, content):
        assert probabilities(content) is None

    @pytest.mark.parametrize("listed", [None, [], "joy", [None], [{}], [{"token": "ang"}]])
    def test_no_alternatives(self, listed):
        content = joy_or_anger()
        content[0]["top_logprobs"] = listed
        assert probabilities(content) == pytest.approx((0.8, 0.1, 0.1))


keys = st.sampled_from(["token", "logprob", "bytes", "top_logprobs", "content"])
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["joy", "j", "oy", "ang", '"']),
    lambda some: st.lists(some, max_size=4) | st.dictionaries(keys, some, max_size=4),
    max_leaves=20,
)


@given(
    st.lists(
        junk
        | st.fixed_dictionaries(
            {
                "token": st.sampled_from(["joy", "j", "oy", '"', "ang", ""]) | junk,
                "logprob": st.floats(max_value=0) | junk,
                "bytes": st.none() | junk,
                "top_logprobs": st.lists(
                    st.fixed_dictionaries({"token": junk, "logprob": st.floats() | junk}) | junk
                )
                | junk,
            }
        ),
        max_size=4,
    )
    | junk,
    st.sampled_from(["joy", '"joy"', '{"label": "joy"}', "ang", "", "\ud800 joy"]),
)
def test_junk_is_a_distribution_or_nothing(content, answer):
    distribution = probabilities(content, answer)
    assert distribution is None or math.fsum(distribution) == pytest.approx(1)


@pytest.mark.usefixtures("api_environment")
class TestAsking:
    def test_a_bare_label(self, scenario):
        scenario.script(logprobs={"joy": joy_or_anger()})
        (ballot,), model = ask(scenario, constraint="none", label_probabilities=True)
        assert ballot.distribution == pytest.approx((0.8, 0.2, 0))
        assert ballot.log_likelihoods is None, "it is no likelihood of the whole label"
        assert ballot.answer == "joy"
        (request,) = scenario.seen
        assert (request["logprobs"], request["top_logprobs"]) == (True, 20)
        assert model.identity["label_probabilities"] is True
        assert not model.exact

    def test_by_schema(self, scenario):
        text = '{"label": "joy"}'
        content = [entry(part, 0.0) for part in ('{"', "label", '":', ' "')]
        content += [*joy_or_anger(), entry('"}', 0.0), entry("<|end|>", -0.1)]
        scenario.script(constraint="response_format", logprobs={text: content})
        (ballot,), _ = ask(scenario, constraint="json_schema", label_probabilities=True)
        assert ballot.answer == text
        assert ballot.distribution == pytest.approx((0.8, 0.2, 0))

    def test_where_the_label_stands_in_an_object(self, scenario):
        """The same word in the reasons before it is not the label."""
        text = '{"reasons": "joy", "label": "joy"}'
        content = [entry(part, 0.0) for part in ('{"reasons": "', "joy", '", "label": "')]
        content += [*joy_or_anger(), entry('"}', 0.0)]
        scenario.script(answers=[text], logprobs={text: content})
        prompt = replace(PROMPT, form="reasoned")
        (ballot,), _ = ask(scenario, prompt=prompt, constraint="none", label_probabilities=True)
        assert ballot.distribution == pytest.approx((0.8, 0.2, 0))
        assert ballot.details == {"reasons": "joy"}

    def test_a_list_has_even_shares(self, scenario):
        text = '{"labels": ["joy"]}'
        content = [entry('{"labels": ["', 0.0), *joy_or_anger(), entry('"]}', 0.0)]
        scenario.script(answers=[text], logprobs={text: content})
        prompt = replace(PROMPT, form="labels")
        (ballot,), _ = ask(scenario, prompt=prompt, constraint="none", label_probabilities=True)
        assert ballot.distribution == JOY

    def test_each_answer_has_its_own(self, scenario):
        sad = [entry("ang", -0.1, ("ang", -0.1), ("joy", -2.5)), entry("er", 0.0)]
        scenario.script(answers=["joy", "anger"], logprobs={"joy": joy_or_anger(), "anger": sad})
        ballots, _ = ask(scenario, (0, 1), constraint="none", label_probabilities=True)
        assert [ballot.distribution[0] > 0.5 for ballot in ballots] == [True, False]
        assert len(scenario.seen) == 1

    def test_they_are_not_asked_for_unless_wanted(self, scenario):
        (ballot,), model = ask(scenario)
        assert not {"logprobs", "top_logprobs"} & set(scenario.seen[0])
        assert ballot.distribution == JOY
        assert "label_probabilities" not in model.identity, "runs made before can be gone on with"

    @pytest.mark.parametrize("answer", ["joyful times", "joy or anger", "", "delight"])
    def test_an_answer_that_is_no_label_stays_invalid(self, scenario, answer):
        scenario.script(answers=[answer], logprobs={answer: joy_or_anger()})
        (ballot,), _ = ask(scenario, constraint="none", label_probabilities=True)
        assert ballot.invalid

    @pytest.mark.parametrize(
        "content",
        [
            None,
            [],
            [entry("anger", -0.1)],
            [entry("joy", -1.6, ("joy", -1.6), ("The", -0.3))],
            [entry("joy", math.nan)],
            [entry("joy", -math.inf, ("anger", -0.1))],
        ],
        ids=["absent", "empty", "of another answer", "mostly of no label", "broken", "impossible"],
    )
    def test_an_answer_whose_are_not_enough_is_a_bare_label(self, scenario, content):
        scenario.script(logprobs={"joy": content})
        (ballot,), _ = ask(scenario, constraint="none", label_probabilities=True)
        assert ballot.distribution == JOY

    def test_the_settings_ask_for_them(self, scenario):
        overrides = {
            "llm.model": "m",
            "llm.base_url": scenario.url,
            "llm.label_probabilities": True,
        }
        model = load_openai(resolve_settings(overrides=overrides).llm)
        assert model.capabilities.top_logprobs == 20


@pytest.mark.usefixtures("api_environment")
class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, {"message": "logprobs are not supported with this model", "param": "logprobs"}),
            (400, {"message": "does not support parameters: ['logprobs']", "param": None}),
            (422, {"message": "body.logprobs: Input should be a valid integer"}),
            (400, {"message": "logprobs is not supported when using response_format"}),
            (403, OPENAI_REASONS),
        ],
    )
    def test_a_refusal_leaves_bare_labels(self, scenario, status, error):
        refuse = {"logprobs": [status, {"error": error}]}
        scenario.script(refuse=refuse, answers=["joy", "anger"])
        ballots, model = ask(scenario, (0, 2), constraint="none", label_probabilities=True)
        assert [ballot.distribution for ballot in ballots] == [JOY, ANGER]
        said = [request.get("top_logprobs") for request in scenario.seen]
        assert said == [20, 5, None, None], "fewer, then none, and never again"
        assert model.capabilities.top_logprobs == 0
        assert model.capabilities.temperature
        assert model.identity["label_probabilities"] is True

    def test_fewer_are_enough(self, scenario):
        refused = {"status": 400, "body": {"error": AZURE}}
        scenario.script(refused, logprobs={"joy": joy_or_anger()})
        (ballot,), model = ask(scenario, constraint="none", label_probabilities=True)
        assert ballot.distribution == pytest.approx((0.8, 0.2, 0))
        assert [request["top_logprobs"] for request in scenario.seen] == [20, 5]
        assert model.capabilities.top_logprobs == 5

    def test_another_refusal_of_status_403_still_ends_the_run(self, scenario):
        scenario.script({"status": 403, "body": {"error": {"message": "no access"}}})
        assert "403" in str(fails(scenario, label_probabilities=True))


@pytest.mark.usefixtures("api_environment")
class TestDescribe:
    def describe(self, scenario, **settings):
        model = OpenAIModel("m", base_url=scenario.url, backoff=0.01, **settings)

        async def work():
            try:
                return await model.describe()
            finally:
                await model.close()

        report = asyncio.run(work())
        assert json.dumps(report)
        return report, model

    @pytest.mark.parametrize("wanted", [False, True])
    def test_a_server_that_gives_them(self, scenario, wanted):
        content = [entry("yes", -0.1, ("yes", -0.1), ("no", -2.5))]
        scenario.script(answers=["yes"], logprobs={"yes": content})
        report, model = self.describe(scenario, label_probabilities=wanted)
        assert (report["logprobs"], report["label_probabilities"]) == (True, True)
        assert model.capabilities.top_logprobs == (20 if wanted else 0)

    def test_a_server_whose_are_of_no_use(self, scenario):
        scenario.script(answers=["yes"])
        report, _ = self.describe(scenario)
        assert (report["logprobs"], report["label_probabilities"]) == (True, False)

    @pytest.mark.parametrize("wanted", [False, True])
    def test_a_server_that_refuses_them(self, scenario, wanted):
        scenario.script(answers=["yes"], refuse=refusal("logprobs", "logprobs: not here"))
        report, _ = self.describe(scenario, label_probabilities=wanted)
        assert (report["logprobs"], report["label_probabilities"]) == (False, False)
        assert report["errors"] == []
