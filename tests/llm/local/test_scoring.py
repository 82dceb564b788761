"""Labels scored by a local model."""

import pytest
import torch

from ragemo.errors import ModelError
from ragemo.llm.local_model import LocalModel
from tests.conftest import LABELS
from tests.llm.local.worlds import (
    LONG,
    NESTED,
    QUESTIONS,
    ask,
    naive,
    question,
    sampler,
    tiny_parts,
    tokens_of,
)


def test_one_pass_of_the_real_model_scores_labels_as_a_full_pass_each(real_parts):
    (ballot,) = ask(LocalModel("llm", *real_parts), QUESTIONS[0])
    expected = naive(real_parts, QUESTIONS[0], tokens_of(real_parts, LABELS.words))
    assert ballot.log_likelihoods == pytest.approx(expected, abs=1e-3)
    shares = torch.softmax(torch.tensor(expected), dim=0)
    assert ballot.distribution == pytest.approx(shares.tolist(), abs=1e-3)


@pytest.mark.parametrize("labels", [LABELS, LONG, NESTED], ids=lambda labels: labels.name)
def test_one_pass_scores_labels_as_a_full_pass_each(parts, model, labels):
    """Labels of several tokens too; one that begins another is scored with its end."""
    candidates = tokens_of(parts, labels.words)
    begun = [one for one in candidates for other in candidates if other[:-1][: len(one)] == one]
    assert bool(begun) == (labels is not LABELS)
    if begun:
        candidates = [[*candidate, parts[1].eos_token_id] for candidate in candidates]
    for prompt in QUESTIONS:
        (ballot,) = ask(model, prompt, labels)
        expected = naive(parts, prompt, candidates)
        assert ballot.log_likelihoods == pytest.approx(expected, abs=1e-4)


WINDOW = 12
"""Tokens that a layer with a sliding window sees; every prompt here is longer."""


BOTH = ["sliding_attention", "full_attention"]


SLIDING = {
    "mistral": {},
    "phi3": {"pad_token_id": 0},
    "gemma3_text": {"head_dim": 16, "layer_types": BOTH},
    "gpt_oss": {"head_dim": 16, "layer_types": BOTH, "num_experts_per_tok": 1},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 1},
}


@pytest.mark.parametrize("kind", SLIDING)
def test_a_sliding_window_is_the_models_own(tokenizer, kind):
    """Of prompts one after the other, too, whose openings and labels it cuts anywhere."""
    parts = tiny_parts(tokenizer, kind, sliding_window=WINDOW, **SLIDING[kind])
    model = LocalModel("sliding", *parts)
    model.concurrency = 1  # so that the second prompt finds what the first one left
    candidates = tokens_of(parts, LONG.words)
    for prompt in [*QUESTIONS, QUESTIONS[0]]:
        assert model.count_tokens(prompt.messages) > WINDOW
        (ballot,) = ask(model, prompt, LONG)
        ends = [[*one, tokenizer.eos_token_id] for one in candidates]
        expected = naive(parts, prompt, ends)
        assert ballot.log_likelihoods == pytest.approx(expected, abs=1e-4)


def test_what_it_reads_changes_its_mind(loaded):
    prompts = [question("I love it, thank you so much!"), question("I hate you! Go to hell!")]
    glad, cross = (ask(loaded, prompt)[0].log_likelihoods for prompt in prompts)
    hap, ang = LABELS.index("hap"), LABELS.index("ang")
    assert glad[hap] - glad[ang] > cross[hap] - cross[ang]


@pytest.mark.parametrize("kind", ["bloom", "mamba"])
def test_a_kind_of_model_whose_labels_cannot_be_scored_is_named(tokenizer, kind):
    parts = tiny_parts(tokenizer, kind)
    said = rf"'{kind}' failed at the prompt of 'u0' \(\d+ tokens.*; lower prompt.*--mode sample"
    with pytest.raises(ModelError, match=said):
        ask(LocalModel(kind, *parts), QUESTIONS[0])
    (drawn,) = ask(sampler(parts), QUESTIONS[0])
    assert drawn.answer
