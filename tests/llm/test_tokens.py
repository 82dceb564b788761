"""How many tokens a text may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.tokens import estimate_tokens
from ragemo.types import Message


class TestEstimate:
    @given(st.text(), st.text())
    def test_the_estimate_grows_with_the_text(self, one, other):
        assert 0 <= estimate_tokens(one) <= estimate_tokens(one + " " + other)
        assert estimate_tokens(one + " " + other) == estimate_tokens(one) + estimate_tokens(other)

    @pytest.mark.usefixtures("api_environment")
    def test_the_estimate_is_of_the_right_size(self):
        text = "Well, I guess I would have to say that I am a little bit nervous about tomorrow!"
        words = len(text.split())
        assert words <= estimate_tokens(text) <= 1.6 * words
        model = OpenAIModel("m", base_url="http://localhost/v1")
        assert not model.counts_exactly
        assert model.count_tokens([Message("user", text)]) == estimate_tokens(text) + 8
