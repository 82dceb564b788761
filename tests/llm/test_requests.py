"""What is sent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.requests import label_grammar, label_schema
from tests.llm.asking import LABELS, ask


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

    def test_the_schema_is_strict(self):
        schema = label_schema(LABELS)["json_schema"]
        assert schema["strict"] is True
        assert schema["schema"]["additionalProperties"] is False
        assert schema["schema"]["required"] == ["label"]
