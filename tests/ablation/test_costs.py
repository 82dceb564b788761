"""What an ablation costs: planned, limited while it runs, and told of each cell."""

import asyncio
import json
from dataclasses import replace
from unittest import mock

import pytest

from ragemo.ablation.sweep import carry_out_sweep, prepare
from ragemo.errors import RunFolderError, SettingsError
from ragemo.llm.budget import Budget, BudgetError
from ragemo.types import Usage
from tests.ablation.worlds import BASE, CORPUS, design, right, run
from tests.fake_llm import FakeLLM

ALL = {**BASE, "voting": {"stop": "none"}}
"""Every answer is asked for."""


class SharingLLM(FakeLLM):
    """Several answers of one call pay for its prompt once, as with an API's `n`."""

    answers_per_call = 128

    async def ask(self, prompt, labels, samples):
        ballots = await super().ask(prompt, labels, samples)
        shares = [prompt.tokens // len(samples)] * len(samples)
        shares[0] += prompt.tokens - sum(shares)
        usages = [Usage(share, 0, 2, self.price(share, 2)) for share in shares]
        return [replace(b, usage=usage) for b, usage in zip(ballots, usages, strict=True)]


class ThinkingLLM(FakeLLM):
    """Its thoughts take 500 tokens, and room for them is known of once it has thought."""

    thinks = False

    def most_answer_tokens(self, form):
        return 516 if self.thinks else 16

    async def ask(self, prompt, labels, samples):
        await asyncio.sleep(0.002)
        ballots = await super().ask(prompt, labels, samples)
        self.thinks = True
        return [replace(b, usage=Usage(prompt.tokens, 0, 510, 0.0)) for b in ballots]


class LateThinkingLLM(ThinkingLLM):
    """It never tells that it thinks."""

    def most_answer_tokens(self, form):
        return 16


def sampled(folder, *counts):
    return design(folder, cells=[{"name": f"s{n}", "llm.samples": n} for n in counts], base=ALL)


def told(result):
    """What each cell is told to take."""
    return {c.name: (c.calls, c.prompt_tokens, c.answer_tokens, c.cost) for c in result.cells}


def test_what_a_cell_takes_depends_on_no_other_cell(tmp_path):
    rising = told(run(sampled(tmp_path, 1, 3, 5), tmp_path / "rising", SharingLLM(right())))
    falling = told(run(sampled(tmp_path, 5, 3, 1), tmp_path / "falling", SharingLLM(right())))
    run(sampled(tmp_path, 3), tmp_path / "grown", SharingLLM(right()))
    grown = run(sampled(tmp_path, 3, 1, 5), tmp_path / "grown", SharingLLM(right()), resume=True)
    assert rising == falling == told(grown)
    for name, own in rising.items():
        llm = SharingLLM(right())
        alone = run(sampled(tmp_path, int(name[1:])), tmp_path / name, llm)
        assert told(alone) == {name: own}
        calls, sent, back, cost = own
        assert sent == sum(prompt.tokens for prompt in llm.prompts)
        assert (calls, back) == (len(llm.asked), 2 * len(llm.asked))
        assert cost == pytest.approx(llm.price(sent, back))


def test_prompts_that_are_not_shared_count_once_an_answer(tmp_path):
    llm = FakeLLM(right())
    result = run(sampled(tmp_path, 3), tmp_path / "out", llm)
    assert result.cells[0].calls == len(llm.asked) == len(llm.prompts)
    assert len(llm.prompts) == 3 * len({prompt.utterance_id for prompt in llm.prompts})
    assert result.cells[0].prompt_tokens == sum(prompt.tokens for prompt in llm.prompts)


@pytest.mark.parametrize("kind", [FakeLLM, SharingLLM])
def test_the_forecast_is_what_is_sent(tmp_path, kind):
    def asked(counts, resume):
        llm = kind(right())
        grid = sampled(tmp_path, *counts)
        sweep = prepare(grid, CORPUS, tmp_path / "out", models=lambda *_: [llm], resume=resume)
        found = sweep.forecast()
        carry_out_sweep(sweep, samples=10)
        tokens = {prompt.utterance_id: prompt.tokens for prompt in llm.prompts}
        assert found.prompt_tokens == sum(tokens[p.utterance_id] for p in llm.prompts)
        assert found.answer_tokens == 16 * len(llm.asked)
        assert found.calls - found.answered == len(llm.asked)

    asked([1, 3], resume=False)
    asked([1, 6], resume=True)


@pytest.mark.parametrize("setting", ["seed", "llm.max_answer_tokens"])
def test_a_plan_tells_local_models_apart_that_draw_other_answers(tmp_path, setting):
    base = {"llm": {"model": "smollm2", "mode": "sample"}, "retrieval": {"k": 0}}
    grid = design(tmp_path, {setting: [3, 4, 5]}, base=base)
    found = prepare(grid, CORPUS, tmp_path / "out").forecast()
    assert found.calls == found.calls_alone == 3 * len(CORPUS.utterances)


def several(folder, first, other):
    """An ablation of one cell that asks two models."""
    base = {"llm": {"model": first, "others": [other], "samples": 2}, "retrieval": {"k": 0}}
    return design(folder, cells=[{"name": "both"}], base={**base, "voting": {"vary": ["model"]}})


@pytest.mark.parametrize(("first", "other"), [("smollm2", "gpt-4o"), ("gpt-4o", "smollm2")])
def test_each_model_is_planned_as_what_it_is(tmp_path, monkeypatch, first, other):
    loading = mock.patch("ragemo.llm.local_model.LocalModel.load", side_effect=AssertionError)

    def planned(url):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with loading:
            sweep = prepare(several(tmp_path, first, other), CORPUS, tmp_path / "out")
            return sweep.folders["both"], sweep.forecast()

    folder, found = planned("https://api.openai.com/v1")
    assert found.calls == 2 * len(CORPUS.utterances)
    assert found.cost > 0
    assert planned("https://elsewhere.example/v1")[0] != folder


def test_models_that_vary_without_a_second_one_are_told_before_anything_runs(tmp_path):
    base = {"llm": {"model": "smollm2"}, "voting": {"vary": ["model"]}}
    grid = design(tmp_path, cells=[{"name": "one"}], base=base)
    with pytest.raises(SettingsError, match=r"cell 'one': .*names no further model"):
        prepare(grid, CORPUS, tmp_path / "out")


@pytest.mark.parametrize("kind", [ThinkingLLM, LateThinkingLLM])
def test_thoughts_exceed_a_budget_by_no_more_than_the_first_call(tmp_path, kind):
    llm = kind(right())
    llm.concurrency = 8
    grid = design(tmp_path, {"prompt.context": [0]})
    with pytest.raises(BudgetError, match="tokens is reached"):
        run(grid, tmp_path / "small", llm, budget=Budget(tokens=300))
    assert len(llm.prompts) == 1

    llm = kind(right())
    llm.concurrency = 8
    with pytest.raises(BudgetError):
        run(grid, tmp_path / "large", llm, budget=Budget(tokens=4000))
    assert len(llm.prompts) >= 4
    assert sum(prompt.tokens + 510 for prompt in llm.prompts) <= 4000


def asked(out):
    return json.loads((out / "costs.json").read_text())["asked"]


def test_what_was_paid_is_on_disk_before_the_next_cell_asks(tmp_path):
    grid, out = design(tmp_path, {"prompt.context": [0, 1]}), tmp_path / "out"
    say, kept = right(), []

    def remember(prompt, sample):
        if len(llm.prompts) > len(CORPUS.utterances):
            kept.append(asked(out))
        return say(prompt, sample)

    llm = FakeLLM(remember)
    run(grid, out, llm)
    first = llm.prompts[: len(CORPUS.utterances)]
    assert {one["calls"] for one in kept} == {len(first)}
    assert asked(out)["calls"] == len(llm.prompts) > len(first)


def test_a_budget_of_several_ablations_is_counted_once(tmp_path):
    budget = Budget(calls=1000)
    for context in (0, 1):
        grid = design(tmp_path, {"prompt.context": [context]})
        llm = FakeLLM(right())
        run(grid, tmp_path / str(context), llm, budget=budget)
        assert asked(tmp_path / str(context))["calls"] == len(llm.prompts)


@pytest.mark.parametrize("text", ["{", "[]", '{"asked": {}, "cells": {}}', '{"cells": 3}'])
def test_damaged_costs_are_told_before_anything_runs(tmp_path, text):
    grid = design(tmp_path, {"prompt.context": [0, 1]})
    run(design(tmp_path, {"prompt.context": [0]}), tmp_path / "out")
    (tmp_path / "out/costs.json").write_text(text)
    llm = FakeLLM(right())
    with pytest.raises(RunFolderError, match=r"costs\.json: not what ragemo wrote"):
        run(grid, tmp_path / "out", llm, resume=True)
    assert llm.asked == []
    (tmp_path / "out/costs.json").unlink()
    assert len(run(grid, tmp_path / "out", resume=True).done) == 2
