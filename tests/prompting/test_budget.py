import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import PromptError
from ragemo.prompting.budget import build_prompt
from ragemo.prompting.templates import load_template
from ragemo.types import Demonstration, Window
from tests.conftest import LABELS, make_turn

FEW_SHOT = load_template("few-shot")

WINDOW = Window(tuple(make_turn(f"turn {n}", n) for n in range(5)))
DEMONSTRATIONS = tuple(
    Demonstration(Window((make_turn(f"example {n}", dialogue_id=f"o{n}"),)), "hap", 0.9 - n / 10)
    for n in range(4)
)


def count_words(messages):
    return sum(len(message.content.split()) for message in messages)


def ask(budget, window=WINDOW, demonstrations=DEMONSTRATIONS):
    return build_prompt(
        window, demonstrations, LABELS, FEW_SHOT, count_tokens=count_words, budget=budget
    )


FULL = ask(10_000).tokens
ALONE = count_words(FEW_SHOT.render(Window(WINDOW.turns[-1:]), [], LABELS))


def test_a_prompt_that_fits_is_whole():
    prompt = ask(FULL)
    assert prompt.utterance_id == WINDOW.target.utterance_id
    assert prompt.demonstrations == DEMONSTRATIONS
    assert (prompt.dropped_demonstrations, prompt.dropped_context) == (0, 0)
    assert prompt.messages == FEW_SHOT.render(WINDOW, DEMONSTRATIONS, LABELS)
    assert prompt.tokens == count_words(prompt.messages) == FULL


def test_one_token_less_drops_the_least_similar_demonstration():
    prompt = ask(FULL - 1)
    assert prompt.demonstrations == DEMONSTRATIONS[:3]
    assert (prompt.dropped_demonstrations, prompt.dropped_context) == (1, 0)
    assert "example 3" not in str(prompt.messages)
    assert "turn 0" in str(prompt.messages)


@settings(deadline=None)
@given(st.integers(ALONE, FULL + 5), st.integers(0, 4), st.integers(0, 4))
def test_whole_demonstrations_go_first_then_whole_turns_from_the_oldest(budget, shown, before):
    window = Window(WINDOW.turns[4 - before :])
    prompt = ask(budget, window, DEMONSTRATIONS[:shown])
    assert prompt.tokens <= budget
    kept = shown - prompt.dropped_demonstrations
    assert prompt.demonstrations == DEMONSTRATIONS[:kept]
    turns = Window(window.turns[prompt.dropped_context :])
    assert prompt.messages == FEW_SHOT.render(turns, DEMONSTRATIONS[:kept], LABELS)
    if prompt.dropped_context:
        assert kept == 0
    # Nothing was dropped that would have fitted.
    if prompt.dropped_context:
        more = Window(window.turns[prompt.dropped_context - 1 :])
        assert count_words(FEW_SHOT.render(more, [], LABELS)) > budget
    elif prompt.dropped_demonstrations:
        more = DEMONSTRATIONS[: kept + 1]
        assert count_words(FEW_SHOT.render(window, more, LABELS)) > budget


def test_the_target_alone_is_the_last_thing_kept():
    prompt = ask(ALONE)
    assert (prompt.dropped_demonstrations, prompt.dropped_context) == (4, 4)
    assert prompt.tokens == ALONE
    assert "turn 4" in prompt.messages[-1].content


def test_where_not_even_the_target_fits_the_utterance_and_the_setting_are_named():
    with pytest.raises(PromptError) as caught:
        ask(ALONE - 1)
    said = str(caught.value)
    assert f"utterance 'd_4': its prompt takes {ALONE} tokens" in said
    assert f"the budget is {ALONE - 1}" in said
    assert "prompt.max_tokens" in said
