"""How many tokens a local model is fed, and may be."""

from dataclasses import replace

import pytest

from ragemo.errors import ModelError
from ragemo.llm.local_model import LocalModel
from tests.conftest import LABELS
from tests.llm.local.worlds import (
    OPENING,
    QUESTIONS,
    Bare,
    ask,
    comparable,
    question,
    tiny_parts,
    tokens_of,
)


def test_a_model_that_was_stretched_reads_more_than_it_was_trained_on(tokenizer):
    rotary = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    sizes = {"max_position_embeddings": 32, "rope_theta": 10_000.0}
    parts = tiny_parts(tokenizer, "llama", rope_parameters=rotary | {"rope_theta": 1e4}, **sizes)
    assert not ask(LocalModel("long", *parts), QUESTIONS[0])[0].failed


def test_an_answer_longer_than_a_model_is_named(tokenizer):
    parts = tiny_parts(tokenizer, "llama", max_position_embeddings=64)
    short = LocalModel("short", *parts, mode="sample", max_answer_tokens=100)
    with pytest.raises(ModelError, match=r"set llm\.max_answer_tokens lower, or choose a model"):
        ask(short, QUESTIONS[0])


@pytest.mark.parametrize(
    ("kind", "name"), [("llama", "max_position_embeddings"), ("gpt2", "n_positions")]
)
@pytest.mark.parametrize("mode", ["score", "sample"])
def test_a_prompt_beyond_what_a_model_reads_is_named(tokenizer, kind, name, mode):
    """One token less is read, and the model goes on as if it had not been asked."""
    needed = LocalModel("llm", None, tokenizer).count_tokens(QUESTIONS[0].messages)
    needed += 1 if mode == "score" else 5
    options = {"mode": mode, "max_answer_tokens": 6}
    enough = LocalModel("llm", *tiny_parts(tokenizer, kind, **{name: needed}), **options)
    short = LocalModel("short", *tiny_parts(tokenizer, kind, **{name: needed - 1}), **options)
    said = rf"more than 'short' reads, which is {needed - 1}; set prompt\.max_tokens to \d+ or less"
    with pytest.raises(ModelError, match=said):
        ask(short, QUESTIONS[0])
    assert not ask(enough, QUESTIONS[0])[0].failed
    before = ask(short, QUESTIONS[2])
    with pytest.raises(ModelError, match=said):
        ask(short, QUESTIONS[0])
    assert comparable(ask(short, QUESTIONS[2])) == comparable(before)


class Spy:
    """A model that notes how many tokens it is fed."""

    def __init__(self, model):
        self.model, self.fed = model, []
        self.config, self.dtype = model.config, model.dtype

    def __call__(self, tokens, **options):
        self.fed.append(tokens.shape[1])
        return self.model(tokens, **options)

    def generate(self, tokens, **options):
        self.fed.append(tokens.shape[1])
        return self.model.generate(tokens, **options)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("mode", ["score", "sample"])
def test_tokens_are_counted_as_they_are_fed(parts, chat, mode):
    tokenizer = parts[1] if chat else Bare(parts[1])
    lead = "" if chat else " "
    words = tokens_of(parts, [lead + word for word in LABELS.words])
    branches = sum(len(word) - 1 for word in words) if mode == "score" else 0
    for prompt in (QUESTIONS[0], QUESTIONS[4], question("Well.\n\nWell")):
        spy = Spy(parts[0])
        model = LocalModel("spied", spy, tokenizer, mode=mode, max_answer_tokens=1)
        ask(model, prompt)
        assert sum(spy.fed) - branches == model.count_tokens(prompt.messages)


def test_what_prompts_share_is_computed_once(parts):
    """The first message, and all but the last one: of the same in both, the last is left."""
    spy = Spy(parts[0])
    model = LocalModel("spied", spy, parts[1])
    model.concurrency = 1  # each worker computes it for itself
    ask(model, QUESTIONS[0])
    first, shown, last = spy.fed
    ask(model, QUESTIONS[0])
    assert spy.fed[3:] == [last]
    ask(model, QUESTIONS[1])
    assert len(spy.fed) == 5, "another last message"
    other = replace(QUESTIONS[0], messages=(OPENING, *QUESTIONS[4].messages))
    ask(model, other)
    assert len(spy.fed) == 6, "the same first message, and nothing between"
    ask(model, QUESTIONS[0])
    assert spy.fed[6:] == [shown, last], "what came after the first message is gone"
    ask(model, QUESTIONS[3])
    assert len(spy.fed) == 11, "another first message"
    assert spy.fed[9] == shown
    assert first != spy.fed[8]
