"""What is sent."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.requests import answer_schema, label_grammar
from ragemo.prompting.forms import FORMS
from tests.llm.asking import LABELS, PROMPT, ask, fails, refusal


class TestConstraints:
    @pytest.mark.usefixtures("api_environment")
    def test_by_default_both_kinds_of_grammar_are_sent(self, scenario):
        ask(scenario)
        (request,) = scenario.seen
        assert request["grammar"] == 'root ::= "joy" | "anger" | "neutral"'
        assert request["structured_outputs"] == {"choice": ["joy", "anger", "neutral"]}
        assert "response_format" not in request

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

    def test_the_schema_of_a_label(self):
        assert answer_schema("label", LABELS)["json_schema"] == {
            "name": "label",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"label": {"type": "string", "enum": ["joy", "anger", "neutral"]}},
                "required": ["label"],
                "additionalProperties": False,
            },
        }

    @pytest.mark.parametrize("form", sorted(set(FORMS) - {"label"}))
    def test_a_schema_is_strict_and_has_the_form_s_keys_in_their_order(self, form):
        schema = answer_schema(form, LABELS)["json_schema"]
        assert (schema["name"], schema["strict"]) == (form, True)
        kinds = schema["schema"]
        assert tuple(kinds["properties"]) == tuple(kinds["required"]) == FORMS[form].properties
        assert kinds["additionalProperties"] is False
        label = {"type": "string", "enum": list(LABELS.words)}
        if form == "labels":
            assert kinds["properties"] == {"labels": {"type": "array", "items": label}}
        else:
            assert kinds["properties"]["label"] == label
        for kind in kinds["properties"].values():
            assert set(kind) <= {"type", "enum", "items"}, "all that strict schemas surely take"


@pytest.mark.usefixtures("api_environment")
class TestForms:
    def sent(self, scenario, form, **settings):
        ask(scenario, prompt=replace(PROMPT, form=form), **settings)
        return scenario.seen[-1]

    @pytest.mark.parametrize("constraint", ["auto", "grammar", "json_schema"])
    def test_an_object_is_asked_for_by_schema(self, scenario, constraint):
        scenario.script(answers=['{"label": "joy", "evidence": "Yay!"}'])
        request = self.sent(scenario, "evidence", constraint=constraint)
        assert request["response_format"] == answer_schema("evidence", LABELS)
        assert not {"grammar", "structured_outputs"} & set(request)
        assert len(scenario.seen) == 1, "an object is no label, and no ignored grammar"

    @pytest.mark.parametrize("form", sorted(FORMS))
    def test_there_is_room_for_what_the_form_asks_for(self, scenario, form):
        request = self.sent(scenario, form, constraint="none", max_answer_tokens=9)
        assert request["max_tokens"] == 9 + FORMS[form].tokens
        assert not {"response_format", "grammar", "structured_outputs"} & set(request)

    def test_a_refused_schema_leaves_none(self, scenario):
        scenario.script(refuse=refusal("response_format", "response_format: not here"))
        request = self.sent(scenario, "rated")
        assert not {"response_format", "grammar", "structured_outputs"} & set(request)
        assert len(scenario.seen) <= 3

    def test_a_grammar_chosen_by_name_and_refused_is_an_error(self, scenario):
        scenario.script(refuse=refusal("response_format", "response_format: not here"))
        prompt = replace(PROMPT, form="rated")
        error = fails(scenario, prompt=prompt, constraint="grammar")
        assert "llm.constraint" in str(error)
