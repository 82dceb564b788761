import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import PromptError
from ragemo.prompting.budget import build_prompt
from ragemo.prompting.templates import load_template
from ragemo.types import Demonstration, Window
from tests.conftest import LABELS, make_turn
from tests.prompting.own import own

FEW_SHOT = load_template("few-shot")

WINDOW = Window(tuple(make_turn(f"turn {n}", n + 5) for n in range(5)))
MEMORY = tuple(make_turn(f"memory {n}", n) for n in range(3))
DEMONSTRATIONS = tuple(
    Demonstration(Window((make_turn(f"example {n}", dialogue_id=f"o{n}"),)), "hap", 0.9 - n / 10)
    for n in range(4)
)


def count_words(messages):
    return sum(len(message.content.split()) for message in messages)


def ask(budget, window=WINDOW, demonstrations=DEMONSTRATIONS, template=FEW_SHOT, **more):
    return build_prompt(
        window, demonstrations, LABELS, template, count_tokens=count_words, budget=budget, **more
    )


FULL = ask(10_000).tokens
ALONE = count_words(FEW_SHOT.render(Window(WINDOW.turns[-1:]), [], LABELS))


def test_a_prompt_that_fits_is_whole():
    prompt = ask(FULL)
    assert prompt.utterance_id == WINDOW.target.utterance_id
    assert prompt.demonstrations == DEMONSTRATIONS
    assert (prompt.dropped_demonstrations, prompt.dropped_context) == (0, 0)
    assert prompt.messages == FEW_SHOT.render(WINDOW, DEMONSTRATIONS, LABELS)
    assert (prompt.form, prompt.window) == ("label", WINDOW)
    assert prompt.tokens == count_words(prompt.messages) == FULL


def test_one_token_less_drops_the_least_similar_demonstration():
    prompt = ask(FULL - 1)
    assert prompt.demonstrations == DEMONSTRATIONS[:3]
    assert (prompt.dropped_demonstrations, prompt.dropped_context) == (1, 0)
    assert "example 3" not in str(prompt.messages)
    assert "turn 0" in str(prompt.messages)


@settings(deadline=None)
@given(st.integers(ALONE, FULL + 40), *[st.integers(0, 4)] * 2, st.integers(0, 3))
def test_whole_demonstrations_go_first_then_memory_then_context_from_the_oldest(
    budget, shown, before, remembered
):
    window = Window(WINDOW.turns[4 - before :])
    demonstrations, memory = DEMONSTRATIONS[:shown], MEMORY[:remembered]
    prompt = ask(budget, window, demonstrations, memory=memory)

    def without(dropped):
        """What is left after so many steps, and its messages."""
        kept = demonstrations[: max(shown - dropped, 0)]
        earlier = [*memory, *window.context][max(dropped - shown, 0) :]
        left = [turn for turn in earlier if turn in memory]
        context = [turn for turn in earlier if turn not in memory]
        rest = Window((*context, window.target))
        return kept, rest, FEW_SHOT.render(rest, kept, LABELS, memory=left)

    dropped = prompt.dropped_demonstrations + prompt.dropped_context
    kept, rest, messages = without(dropped)
    assert (prompt.demonstrations, prompt.window, prompt.messages) == (kept, rest, messages)
    assert prompt.tokens == count_words(messages) <= budget
    if prompt.dropped_context:
        assert prompt.dropped_demonstrations == shown
    if dropped:  # and nothing that would have fitted
        assert count_words(without(dropped - 1)[2]) > budget


def test_all_that_a_template_can_show_reaches_it():
    hint = load_template("hint")
    more = {"hint": (0.1, 0.2, 0.7), "memory": MEMORY, "order": "shuffled", "seed": 3}
    prompt = ask(FULL + 100, template=hint, **more)
    assert prompt.messages == hint.render(WINDOW, DEMONSTRATIONS, LABELS, **more)
    assert "angry 70%" in prompt.messages[-1].content
    assert prompt.demonstrations == DEMONSTRATIONS, "in order of preference, however they stand"
    repair = load_template("repair")
    prompt = ask(FULL + 100, template=repair, hypotheses=("turn 4", "turn for"))
    assert 'Also heard as "turn for"' in prompt.messages[-1].content
    assert prompt.form == "repaired"


def test_demonstrations_are_dropped_by_preference_however_they_stand():
    for order in ("nearest-last", "nearest-first", "shuffled"):
        assert ask(FULL - 1, order=order).demonstrations == DEMONSTRATIONS[:3]


def test_what_a_template_does_not_show_is_not_dropped(tmp_path):
    zero = ask(10_000, template=load_template("zero-shot"))
    assert (zero.demonstrations, zero.dropped_demonstrations) == ((), 0)
    assert zero.window == WINDOW
    fitting = ask(zero.tokens - 1, template=load_template("zero-shot"))
    assert (fitting.dropped_demonstrations, fitting.dropped_context) == (0, 1)
    alone = ask(10_000, template=own(tmp_path, ""), memory=MEMORY)
    assert alone.window == Window((WINDOW.target,))
    with pytest.raises(PromptError, match="the budget is"):
        ask(alone.tokens - 1, template=own(tmp_path, ""), memory=MEMORY)


def test_the_target_alone_is_the_last_thing_kept():
    prompt = ask(ALONE)
    assert (prompt.dropped_demonstrations, prompt.dropped_context) == (4, 4)
    assert prompt.tokens == ALONE
    assert "turn 4" in prompt.messages[-1].content


def test_where_not_even_the_target_fits_the_utterance_and_the_setting_are_named():
    with pytest.raises(PromptError) as caught:
        ask(ALONE - 1)
    said = str(caught.value)
    assert f"utterance 'd_9': its prompt takes {ALONE} tokens" in said
    assert f"the budget is {ALONE - 1}" in said
    assert "prompt.max_tokens" in said
