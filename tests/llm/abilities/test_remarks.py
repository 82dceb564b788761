"""What an endpoint does without a word is found in its answers and told."""

import re

import pytest

from tests.llm.asking import KEY, OPENAI_TEMPERATURE, ask

pytestmark = pytest.mark.usefixtures("api_environment")


def remarks(scenario, samples=(0,), **settings):
    """What is told, but for the scripted server's name for its model."""
    _, model = ask(scenario, samples, **{"name": "m"} | settings)
    assert KEY not in str(model.remarks)
    assert all(scenario.url in sentence for sentence in model.remarks)
    return model.remarks


def test_nothing_is_told_of_a_server_that_does_as_it_is_asked(scenario):
    scenario.script(constraint="grammar", answers=["blah"])
    assert remarks(scenario, (0, 1)) == ()


def test_a_grammar_passed_over(scenario):
    scenario.script(answers=["Well, joy"], constraint="response_format")
    (told,) = remarks(scenario, (0, 1))
    assert re.search("passes over a grammar.*: 2 of 2 .*JSON schema instead", told)
    (told,) = remarks(scenario, constraint="grammar")
    assert re.search("passes over a grammar.*: 1 of 1 answers are no label$", told)


def test_a_schema_passed_over(scenario):
    scenario.script(answers=['{"label": "joy"}', "joy", "anger", '{"label": "joy"}'])
    (told,) = remarks(scenario, range(4), constraint="json_schema")
    assert re.search("passes over a JSON schema: 2 of 4 answers are no JSON object", told)


def test_an_answer_that_was_cut_off_shows_nothing(scenario):
    choice = {"finish_reason": "length", "message": {"content": "Well, I"}}
    scenario.script({"status": 200, "body": {"choices": [choice]}})
    assert remarks(scenario, constraint="json_schema") == ()


def test_fewer_answers_than_were_asked_for(scenario):
    scenario.script(at_most=2)
    (told,) = remarks(scenario, range(5), constraint="none")
    assert "gave 2 of 5 answers" in told


def test_log_probabilities_that_do_not_come(scenario):
    scenario.script(ignore=["logprobs"])
    (told,) = remarks(scenario, (0, 1), constraint="none", label_probabilities=True)
    assert re.search("no log-probabilities with 2 of 2 answers", told)


def test_another_model_answers(scenario):
    (told,) = remarks(scenario, (0, 1), name="m-large", constraint="none")
    assert told.endswith("says that m answered, where m-large was asked for")


def test_what_may_not_be_said(scenario):
    scenario.script(refuse={"temperature": [400, {"error": OPENAI_TEMPERATURE}]})
    (told,) = remarks(scenario)
    assert "takes no temperature" in told
