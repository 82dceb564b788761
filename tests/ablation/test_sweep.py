import json
import shutil

import pytest

from ragemo.ablation.results import AblationResult
from ragemo.ablation.sweep import carry_out_sweep, prepare
from ragemo.errors import DataError, EndpointError, IndexFolderError, RunFolderError, SettingsError
from ragemo.llm.budget import Budget, BudgetError
from ragemo.llm.keeping.answer_cache import answer_key
from ragemo.retrieval.embedding.remembering import RememberingEmbedder
from ragemo.runs.run import Run
from ragemo.runs.scores import scored
from ragemo.scoring.bootstrap import intervals
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.paired import paired_differences
from tests.ablation.worlds import (
    CORPUS,
    WITH_INDEX,
    CountingEmbedder,
    design,
    index,
    result_files,
    right,
    run,
)
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import WORDS, chance

TARGETS = 16
POOLS = {"voting.pool": ["log", "mean", "majority"]}
CONTEXTS = {"prompt.context": [0, 1, 4, None]}


class KilledError(Exception):
    """The process ends."""


def distinct(llm):
    """Different calls among those that were made."""
    return {answer_key(llm, prompt, LABELS, 0) for prompt in llm.prompts}


def test_cells_that_ask_the_same_share_the_answers(tmp_path):
    llm = FakeLLM(right())
    result = run(design(tmp_path, POOLS), tmp_path / "out", llm)
    assert len(llm.asked) == TARGETS
    assert [cell.calls for cell in result.cells] == [TARGETS] * 3


def test_cells_that_differ_ask_only_what_differs(tmp_path):
    llm = FakeLLM(right())
    run(design(tmp_path, CONTEXTS), tmp_path / "out", llm)
    # Of a dialogue's four turns the first has one context whatever its length, the second two, ...
    assert len(llm.asked) == len(distinct(llm)) == 4 * (1 + 2 + 3 + 3)


def test_a_text_is_embedded_once_for_all_cells(tmp_path):
    embedder = CountingEmbedder()
    axes = {"retrieval.context_length": [0, 2, 8], "retrieval.k": [0, 4]}
    grid = design(tmp_path, axes, base=WITH_INDEX)
    run(grid, tmp_path / "out", embedder=embedder, index=index())
    assert len(embedder.given) == len(set(embedder.given))


def test_an_index_that_another_process_cannot_read_is_told_in_words(tmp_path):
    axes = {"retrieval.context_length": [0, 2], "retrieval.neighbours": [1, 2, 3, 4]}
    sweep = prepare(
        design(tmp_path, axes, base=WITH_INDEX),
        CORPUS,
        tmp_path / "out",
        index=index(),
        index_folder=tmp_path / "gone",
        load_embedder=FakeEmbedder,
    )
    with pytest.raises(IndexFolderError, match="gone"):
        carry_out_sweep(sweep, processes=2, samples=10)


def test_only_texts_that_are_new_are_embedded():
    counting = CountingEmbedder()
    embedder = RememberingEmbedder(counting)
    told = []
    embedder.embed(["a", "b", "a"], told.append)
    vectors = embedder.embed(["b", "c", "", "a"], told.append)
    assert sorted(counting.given) == sorted(["a", "b", "c", ""])
    assert (vectors == CountingEmbedder().embed(["b", "c", "", "a"])).all()
    assert (embedder.identity, embedder.dimension) == (counting.identity, counting.dimension)


def test_a_shared_answer_makes_the_same_run_as_one_alone(tmp_path):
    together = run(design(tmp_path, {**POOLS, "prompt.context": [0, 4]}), tmp_path / "together")
    for number, cell in enumerate(together.cells[::4]):
        named = {"name": cell.name, **cell.settings}
        alone = run(design(tmp_path, cells=[named]), tmp_path / str(number))
        assert alone.cells[0].metrics == cell.metrics
        assert alone.cells[0].run == cell.run


def test_same_inputs_same_bytes(tmp_path):
    grid = design(tmp_path, {**POOLS, "prompt.context": [0, 2]})
    run(grid, tmp_path / "one")
    run(grid, tmp_path / "two")
    assert result_files(tmp_path / "one") == result_files(tmp_path / "two")
    assert "second" not in (tmp_path / "one/result.json").read_text()


@pytest.mark.parametrize("calls", [0, 7, 20])
def test_a_budget_stops_before_the_call_that_would_exceed_it(tmp_path, calls):
    llm = FakeLLM(right())
    grid = design(tmp_path, {"prompt.context": [0, 4]})
    with pytest.raises(BudgetError, match=f"the budget of {calls} calls is reached") as caught:
        run(grid, tmp_path / "out", llm, budget=Budget(calls=calls))
    assert len(llm.asked) == calls  # what is in flight is waited for, and nothing else is begun
    finished = calls // TARGETS
    assert f"{finished} of 2 cells are finished" in str(caught.value)
    kept = AblationResult.open(tmp_path / "out")
    assert len(kept.done) == finished
    assert kept.cells[-1].failure == "not run"
    table = (tmp_path / "out/table.md").read_text()
    assert "| prompt.context=4 | not run |" in table
    assert "failed" not in table

    again = FakeLLM(right())
    run(grid, tmp_path / "out", again, resume=True)
    assert distinct(llm).isdisjoint(distinct(again))
    run(grid, tmp_path / "whole")
    assert result_files(tmp_path / "out") == result_files(tmp_path / "whole")


@pytest.mark.parametrize("concurrency", [1, 3])
def test_budgets_in_tokens_and_dollars_hold_what_a_call_may_take_at_most(tmp_path, concurrency):
    grid = design(tmp_path, {"prompt.context": [0]})
    run(grid, tmp_path / "whole", whole := FakeLLM(right()))
    takes = [(p.tokens + 16, whole.price(p.tokens, 16)) for p in whole.prompts]
    for place, limit in enumerate(("tokens", "dollars")):
        llm = FakeLLM(right())
        llm.concurrency = concurrency
        most = sum(one[place] for one in takes[:10])
        with pytest.raises(BudgetError, match="Go on with the same command"):
            run(grid, tmp_path / limit, llm, budget=Budget(**{limit: most + 1e-9 * place}))
        spent = [(p.tokens + 16, llm.price(p.tokens, 16)) for p in llm.prompts]
        assert sum(one[place] for one in spent) <= most + 1e-6
        assert len(llm.prompts) >= 9


def test_a_budget_in_dollars_needs_a_price(tmp_path):
    llm = FakeLLM(right())
    llm.price = lambda prompt_tokens, answer_tokens: None
    grid = design(tmp_path, {"prompt.context": [0]})
    result = run(grid, tmp_path / "out", llm, budget=Budget(dollars=5))
    assert "the price of 'fake' is not known" in result.cells[0].failure
    assert llm.asked == []


def test_a_grid_that_grows_redoes_nothing(tmp_path):
    small, out = design(tmp_path, {"prompt.context": [0, 4]}), tmp_path / "out"
    run(small, out)
    before = {p: p.stat().st_mtime_ns for p in out.glob("cells/*/*")}
    llm = FakeLLM(right())
    result = run(design(tmp_path, {"prompt.context": [0, 1, 4]}), out, llm, resume=True)
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert len(llm.asked) == 4 * 2  # the third and the fourth turns see one turn of two or three
    assert len(result.done) == 3
    assert len(list(out.glob("cells/*"))) == 3


def test_killed_after_any_call_it_goes_on_without_a_repeated_call(tmp_path):
    grid, out = design(tmp_path, {"prompt.context": [0, 1, 4]}), tmp_path / "out"
    run(grid, tmp_path / "whole", whole := FakeLLM(right()))
    made = []
    while True:
        llm = FakeLLM(right(), fate=(9, KilledError()))
        llm.concurrency = 1
        try:
            run(grid, out, llm, resume=True)
        except KilledError:
            made += llm.prompts
            continue
        made += llm.prompts
        break
    assert len(made) == len(distinct(whole))
    assert result_files(out) == result_files(tmp_path / "whole")


def test_answers_outlive_their_cell_s_folder(tmp_path):
    grid, out = design(tmp_path, {"prompt.context": [0, 1]}), tmp_path / "out"
    first = run(grid, out)
    shutil.rmtree(out / first.cells[1].run)
    llm = FakeLLM(right())
    assert run(grid, out, llm, resume=True) == first
    assert llm.asked == []


def test_a_cell_that_fails_is_told_and_the_others_are_there(tmp_path):
    cells = [{"name": "index", "llm.model": "none"}, {"name": "model"}, {"name": "voters"}]
    cells[2] |= {"llm.model": "none", "voting.voters": ["nobody"]}
    broken = FakeLLM(fate=(0, EndpointError("wrong key")))
    result = run(design(tmp_path, cells=cells), tmp_path / "out", broken, index=index())
    assert [cell.failure for cell in result.cells][:2] == ["", "wrong key"]
    assert "there is no voter 'nobody'" in result.cells[2].failure
    assert [cell.name for cell in result.failed] == ["model", "voters"]
    assert "wrong key" in (tmp_path / "out/table.md").read_text()

    healed = run(design(tmp_path, cells=cells[:2]), tmp_path / "out", index=index(), resume=True)
    assert healed.failed == ()


def test_calls_that_failed_are_made_again(tmp_path):
    grid, out = design(tmp_path, {"prompt.context": [0, 4]}), tmp_path / "out"
    say = right()
    lossy = FakeLLM(lambda p, s: None if chance(p.utterance_id) % 3 == 0 else say(p, s))
    first = run(grid, out, lossy)
    assert all(cell.errors for cell in first.cells)
    lost = [one for one in lossy.asked if chance(one[0]) % 3 == 0]
    llm = FakeLLM(say)
    second = run(grid, out, llm, resume=True)
    assert set(llm.asked) == set(lost)
    assert not any(cell.errors for cell in second.cells)


def test_figures_are_those_of_the_runs(tmp_path):
    # What is answered depends on how much context is shown.
    llm = FakeLLM(lambda p, s: WORDS[chance(p.utterance_id, len(p.window.turns)) % 3])
    grid = design(tmp_path, {"prompt.context": [0, 1, 4]})
    result = run(grid, tmp_path / "out", llm)
    assert len({cell.metrics["uar"] for cell in result.cells}) == 3
    runs = [Run.open(tmp_path / "out" / cell.run) for cell in result.cells]
    own = [scored(one) for one in runs]
    for cell, verdicts in zip(result.cells, own, strict=True):
        assert cell.n == TARGETS
        for metric, bounds in intervals(dialogue_confusions(verdicts)).items():
            assert cell.intervals[metric] == pytest.approx(bounds)
        differences = paired_differences(verdicts, own[0])
        for metric, one in cell.differences.items():
            wanted = differences[metric]
            assert (one.difference, one.low, one.high) == pytest.approx(
                (wanted.difference, wanted.low, wanted.high)
            )
    assert [set(cell.differences) for cell in result.cells] == [
        set(),
        {"weighted_f1", "uar"},
        {"weighted_f1", "uar"},
    ]


def test_the_result_is_read_back_as_it_was(tmp_path):
    result = run(design(tmp_path, POOLS), tmp_path / "out")
    assert AblationResult.open(tmp_path / "out") == result
    assert AblationResult.from_dict(json.loads(json.dumps(result.to_dict()))).to_dict() == (
        result.to_dict()
    )
    for data in ({}, {**result.to_dict(), "cells": []}):
        (tmp_path / "out/result.json").write_text(json.dumps(data))
        with pytest.raises(RunFolderError, match=r"result\.json: not a result"):
            AblationResult.open(tmp_path / "out")


def test_accuracy_is_told_by_word_error_rate(tmp_path):
    rows = [
        {"dialogue": "de"[n % 2], "text": heard, "reference": "it is so GOOD!", "emotion": "hap"}
        for n, heard in enumerate(
            ["it is so good", "it is so bad", "it is", "or wood", "It is so, good."]
        )
    ]
    grid = design(tmp_path, cells=[{"name": "a"}])
    cell = run(grid, tmp_path / "out", FakeLLM(lambda p, s: "happy"), corpus=make_corpus(rows))
    [cell] = cell.cells
    assert cell.word_error_rate == pytest.approx((0 + 1 + 2 + 4 + 0) / 20)
    bands = {band.group: band.n for band in cell.word_error_bands}
    assert bands == {"no error": 2, ".25 to .5": 1, ".5 or more": 2}


def test_bootstrap_samples_that_cannot_be_are_refused_before_anything_is_asked(tmp_path):
    llm = FakeLLM(right())
    grid = design(tmp_path, {"prompt.context": [0, 1]})
    sweep = prepare(grid, CORPUS, tmp_path / "out", models=lambda *_: [llm])
    with pytest.raises(SettingsError, match="expected 1 to 100,000"):
        carry_out_sweep(sweep, samples=200_000)
    assert not llm.asked
    assert not (tmp_path / "out").exists()


def test_a_corpus_without_labels_is_refused_before_anything_is_asked(tmp_path):
    rows = [{"dialogue": "d", "text": "hello", "emotion": None}]
    llm = FakeLLM()
    with pytest.raises(DataError, match="nothing to compare"):
        run(design(tmp_path, POOLS), tmp_path / "out", llm, corpus=make_corpus(rows))
    assert llm.asked == []
    assert not (tmp_path / "out").exists()


def test_a_cell_that_cannot_be_planned_is_named_and_the_others_are_counted(tmp_path):
    cells = [{"name": "good"}, {"name": "bad", "corpus.transcript": "no-such-system"}]
    llm = FakeLLM(right())
    grid = design(tmp_path, cells=cells)
    found = prepare(grid, CORPUS, tmp_path / "out", models=lambda *_: [llm]).forecast()
    assert "cell 'bad' cannot be run: no transcript strategy" in found.in_words()
    assert (found.cells, found.calls) == (2, TARGETS)
    assert [cell.name for cell in run(grid, tmp_path / "out", llm).failed] == ["bad"]


def test_a_note_names_its_cells_unless_it_is_on_all(tmp_path):
    rows = [
        {"dialogue": d, "text": f"w{n}", "reference": f"r{n}", "emotion": "hap"}
        for d in "de"
        for n in range(2)
    ]
    cells = [{"name": "heard"}, {"name": "read", "corpus.transcript": "reference"}]
    said = "reference transcripts were used: not allowed in a challenge run"
    corpus = make_corpus(rows)
    llm = FakeLLM(lambda p, s: "happy")
    both = run(design(tmp_path, cells=cells), tmp_path / "both", llm, corpus=corpus)
    assert both.notes == (f"read: {said}",)
    one = run(design(tmp_path, cells=cells[1:]), tmp_path / "one", llm, corpus=corpus)
    assert one.notes == (said,)
