"""Answers drawn from a local model."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from ragemo.llm.local_model import LocalModel
from tests.conftest import LABELS
from tests.llm.local.worlds import QUESTIONS, Says, ask, comparable, naive, sampler, tokens_of


def answers(ballots):
    return [ballot.answer for ballot in ballots]


def test_samples_are_drawn_by_seed_prompt_and_number(parts):
    model = sampler(parts, seed=1)
    drawn = comparable(ask(model, QUESTIONS[0], samples=range(4)))
    assert [ballot.sample for ballot in drawn] == [0, 1, 2, 3]
    assert len(set(answers(drawn))) == 4
    ask(model, QUESTIONS[1])
    torch.manual_seed(99)
    assert comparable(ask(model, QUESTIONS[0], samples=[3, 1])) == [drawn[3], drawn[1]]
    # The same question about another utterance is the same question.
    same = ask(model, replace(QUESTIONS[0], utterance_id="another"), samples=range(4))
    assert answers(same) == answers(drawn)
    others = [
        ask(sampler(parts, seed=2), QUESTIONS[0], samples=range(4)),
        ask(model, QUESTIONS[1], samples=range(4)),
    ]
    for other in others:
        assert not set(answers(other)) & set(answers(drawn))


def test_without_temperature_every_sample_is_the_likeliest(parts):
    model = sampler(parts, temperature=0.0, max_answer_tokens=1)
    first, second = ask(model, QUESTIONS[4], samples=[0, 1])
    assert first.answer == second.answer
    likelihood, *others = naive(parts, QUESTIONS[4], [*tokens_of(parts, [first.answer]), [5], [99]])
    assert likelihood > max(others)


def test_the_real_model_answers_in_words(real_parts):
    (ballot,) = ask(sampler(real_parts, temperature=0.0, max_answer_tokens=3), QUESTIONS[4])
    assert ballot.answer.strip()
    assert ballot.answer.isascii()
    assert 1 <= ballot.usage.answer_tokens <= 3


def test_models_draw_from_the_one_generator_one_after_the_other(parts):
    class Slow(Says):
        drawing = most = 0

        def generate(self, tokens, **options):
            Slow.drawing += 1
            Slow.most = max(Slow.most, Slow.drawing)
            time.sleep(0.05)
            Slow.drawing -= 1
            return super().generate(tokens, **options)

    models = [LocalModel(f"llm {n}", Slow([5]), parts[1], mode="sample") for n in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda model: ask(model, QUESTIONS[4]), models))
    assert Slow.most == 1


@pytest.mark.parametrize(
    ("answer", "label"),
    [("Happy.", "hap"), ("neutral<|im_end|>", "neu"), ("happy or angry", None), ("glee", None)],
)
def test_an_answer_is_a_vote_or_stays_invalid(parts, answer, label):
    (tokens,) = tokens_of(parts, [answer])
    (ballot,) = ask(LocalModel("llm", Says(tokens), parts[1], mode="sample"), QUESTIONS[0])
    assert ballot.answer == answer.removesuffix("<|im_end|>")
    assert ballot.distribution == (None if label is None else LABELS.one_hot(label))
    assert ballot.invalid == (label is None)
    assert not ballot.failed
    assert ballot.log_likelihoods is None
    assert ballot.usage.answer_tokens == len(tokens)
