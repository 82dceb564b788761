"""Forms of answers, asked of a local model."""

import asyncio

import pytest
import torch
from transformers import PreTrainedConfig

from ragemo.errors import SettingsError
from ragemo.llm.local_model import LocalModel
from ragemo.prompting.forms import FORMS
from ragemo.types import Message, Prompt, Window
from tests.conftest import LABELS, make_turn

WINDOW = Window((make_turn("What now?", 0), make_turn("Yay, we won!", 1)))


class Says:
    """A model that always gives one answer, if there is room for it."""

    config, dtype = PreTrainedConfig(), torch.float32

    def __init__(self, tokens):
        self.tokens = tokens

    def generate(self, tokens, *, max_new_tokens, **options):
        self.room = max_new_tokens
        return torch.cat([tokens, torch.tensor([self.tokens[:max_new_tokens]])], dim=1)


def ask(tokenizer, answer, form, mode="sample"):
    """The ballot, and how many tokens there was room for."""
    says = Says(tokenizer(answer, add_special_tokens=False)["input_ids"])
    model = LocalModel("llm", says, tokenizer, mode=mode, max_answer_tokens=6)
    prompt = Prompt("u", (Message("user", "?"),), tokens=0, form=form, window=WINDOW)
    (ballot,) = asyncio.run(model.ask(prompt, LABELS, [0]))
    return ballot, says.room


def test_a_sampled_answer_keeps_its_details(tokenizer):
    answer = '{"label": "joy", "evidence": "we won"}'
    ballot, _ = ask(tokenizer, answer, "evidence")
    assert ballot.answer == answer
    assert ballot.distribution == LABELS.one_hot("hap")
    assert ballot.details == {"evidence": "we won", "found": True}


def test_an_answer_without_a_label_keeps_none(tokenizer):
    ballot, _ = ask(tokenizer, '{"label": "glee", "cause": 2}', "cause")
    assert ballot.invalid
    assert ballot.details == {}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_there_is_room_for_what_the_form_asks_for(tokenizer, form):
    ballot, room = ask(tokenizer, "joy", form)
    assert room == 6 + FORMS[form].tokens
    assert ballot.distribution == LABELS.one_hot("hap")


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"label"}))
def test_a_model_that_scores_labels_says_what_to_do(tokenizer, form):
    with pytest.raises(SettingsError, match="--mode sample, or choose another template"):
        ask(tokenizer, "joy", form, mode="score")
