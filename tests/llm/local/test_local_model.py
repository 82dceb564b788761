"""A local model and its ballots, in whichever order and by however many it is asked."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ragemo.errors import ModelError, SettingsError
from ragemo.llm.local_model import LocalModel
from ragemo.models import SMOLLM2
from tests.conftest import LABELS
from tests.llm.local.worlds import LONG, QUESTIONS, Says, ask, comparable, sampler


@pytest.mark.parametrize("which", ["model", "loaded"])
def test_a_ballot_depends_on_its_own_prompt_alone(which, request):
    """To the last bit, whatever was asked before."""
    model = request.getfixturevalue(which)
    prompts = [QUESTIONS[0], QUESTIONS[3], QUESTIONS[4]]
    first = [comparable(ask(model, prompt)) for prompt in prompts]
    ask(model, QUESTIONS[0], LONG)
    for number in (0, 2, 1, 0):
        assert comparable(ask(model, prompts[number])) == first[number]
    assert len({ballots[0].log_likelihoods for ballots in first}) == len(prompts)


@pytest.mark.parametrize("which", ["model", "loaded"])
def test_prompts_in_flight_together_get_the_ballots_they_get_alone(which, request):
    model = request.getfixturevalue(which)
    prompts = [QUESTIONS[0], QUESTIONS[3], QUESTIONS[4]]
    alone = [comparable(ask(model, prompt)) for prompt in prompts]
    asyncio.run(model.close())
    model.concurrency = 3

    async def together():
        questions = [model.ask(prompt, LABELS, [0]) for prompt in prompts * 3]
        ballots = await asyncio.gather(*questions)
        await model.close()
        return ballots

    assert [comparable(ballots) for ballots in asyncio.run(together())] == alone * 3


def test_threads_may_ask_and_close_one_model_at_any_time(parts):
    model = LocalModel("llm", Says([5]), parts[1], mode="sample")
    before = sys.getswitchinterval()

    async def ask_and_close():
        for _ in range(60):
            await model.ask(QUESTIONS[4], LABELS, [0])
            await model.close()

    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            done = [pool.submit(asyncio.run, ask_and_close()) for _ in range(8)]
        assert [one.exception() for one in done] == [None] * 8
    finally:
        sys.setswitchinterval(before)


def test_a_ballot_says_who_voted_on_what(loaded):
    prompt = replace(QUESTIONS[0], tokens=77)
    one, other = ask(loaded, prompt, samples=[0, 4])
    assert (one.utterance_id, one.voter, one.sample, other.sample) == ("u0", "smollm2", 0, 4)
    assert one.log_likelihoods == other.log_likelihoods
    assert sum(one.distribution) == pytest.approx(1)
    assert (one.usage.prompt_tokens, one.usage.answer_tokens, one.usage.cost) == (77, 0, 0.0)
    assert one.usage.seconds > 0
    assert not one.invalid
    assert (loaded.exact, loaded.counts_exactly) == (True, True)
    assert loaded.price(10**6, 10**6) == 0


def test_an_identity_names_what_determines_an_answer(loaded, parts):
    assert loaded.identity == {
        "backend": "transformers",
        "model": "smollm2",
        "mode": "score",
        "dtype": loaded.identity["dtype"],
        "weights_sha256": SMOLLM2.weights_sha256,
    }
    assert loaded.identity["dtype"] in ("bfloat16", "float32")
    drawn = sampler(parts, temperature=0.5, seed=3).identity
    assert (drawn["temperature"], drawn["seed"], drawn["max_answer_tokens"]) == (0.5, 3, 6)
    assert drawn["dtype"] == "float32"


def test_what_cannot_be_loaded_is_named(tmp_path, parts):
    with pytest.raises(ModelError, match=r"cannot load the language model .*smollm2.*embedded"):
        LocalModel.load(str(tmp_path))
    with pytest.raises(SettingsError, match=r"llm\.mode 'guess': expected score or sample"):
        LocalModel("llm", *parts, mode="guess")
