"""A run that was stopped, at whatever answer, ends as the one that was not."""

import json

import pytest

from ragemo.errors import EndpointError
from ragemo.retrieval.index import Index
from ragemo.runs.run import Run
from ragemo.settings import resolve_settings
from tests.conftest import FakeEmbedder
from tests.fake_llm import FakeLLM, ShortLLM
from tests.pipeline.inputs import (
    ask_all,
    chance,
    decided,
    gold_of,
    mostly_right,
    settings_with,
    telling_corpus,
    varied,
)

SMALL = {"limit": 2, "retrieval.k": 2, "voting.vary": ["template"], "llm.samples": 4}


def stopped_anywhere(tmp_path, go, *, first, step=1):
    """Stop a run after any line, go on, and hold it against the run that nothing stopped.

    Args:
        go: makes the run in a folder, or goes on with it, and gives back its language model.
        first: so many lines there are at least; earlier ones are written at once.
        step: how many lines further it is stopped the next time.
    """
    whole = tmp_path / "whole"
    everything = go(whole).asked
    assert len(set(everything)) == len(everything)
    lines = (whole / "ballots.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == first + len(everything)
    for count in [0, first - 1, *range(first, len(lines) + 1, step)]:
        folder = tmp_path / f"cut {count}"
        folder.mkdir()
        for name in ("manifest.json", "utterances.jsonl"):
            (folder / name).write_bytes((whole / name).read_bytes())
        (folder / "ballots.jsonl").write_bytes(b"".join(lines[:count]))
        kept = {
            (line["utterance_id"], line["sample"]) for line in map(json.loads, lines[first:count])
        }
        llm = go(folder, resume=True)
        assert decided(folder) == decided(whole), count
        assert sorted(llm.asked) == sorted(set(everything) - kept)
        assert len((folder / "ballots.jsonl").read_bytes().splitlines()) == len(lines)
    return everything


@pytest.mark.parametrize("answers_per_call", [1, 128])
def test_killed_at_any_answer_it_ends_in_the_same_bytes(tmp_path, corpus, index, answers_per_call):
    """With windows that say nothing, windows that are labelled, and two prompts for a target."""
    settings = resolve_settings({}, SMALL | {"voting.calibration": "contextual"})

    def go(folder, **others):
        llm = FakeLLM(varied)
        llm.answers_per_call = answers_per_call
        ask_all(corpus, folder, settings, index=index, llm=llm, **others)
        return llm

    asked = stopped_anywhere(tmp_path, go, first=2 * 3)
    assert len(asked) > 3 * 4 + 2 + 2 * 2


@pytest.mark.parametrize("brings", [1, 2, 3, 128])
@pytest.mark.parametrize("knows", [False, True])
def test_who_goes_on_need_not_know_how_many_answers_a_call_brings(
    tmp_path, corpus, index, brings, knows
):
    settings = resolve_settings({}, SMALL | {"voting.vary": [], "llm.samples": 5})

    def go(folder, *, resume=False):
        llm = ShortLLM(varied, brings)
        if knows and not resume:
            llm.answers_per_call = brings
        ask_all(corpus, folder, settings, index=index, llm=llm, resume=resume)
        return llm

    stopped_anywhere(tmp_path, go, first=2 * 3)


@pytest.mark.parametrize("stop", ["hard", "posterior"])
def test_on_the_index_s_own_dialogues_what_is_answered_already_settles_nothing_sooner(
    tmp_path, stop
):
    """Their answers serve as checks in the end, but how much is asked must not rest on them."""
    corpus = telling_corpus(6, 4, "d")
    index = Index.build(corpus, FakeEmbedder())
    settings = settings_with(retrieval__k=2, llm__samples=4, voting__stop=stop, limit=12)
    gold = gold_of(corpus)

    def go(folder, **others):
        llm = FakeLLM(mostly_right(gold, 0.6))
        ask_all(corpus, folder, settings, index=index, llm=llm, **others)
        return llm

    stopped_anywhere(tmp_path, go, first=12 * 3, step=8)


def test_refused_after_any_call_and_taken_up_again_it_ends_in_the_same_bytes(
    tmp_path, corpus, index
):
    settings = resolve_settings({}, SMALL)
    ask_all(corpus, tmp_path / "whole", settings, index=index, llm=(llm := FakeLLM(varied)))
    calls = len(llm.prompts)
    folder = tmp_path / "again"
    stops = 0
    while True:
        # Two more answers each time, then the endpoint refuses.
        llm = FakeLLM(varied, fate=(2, EndpointError("no credit left")))
        llm.concurrency = 1
        try:
            ask_all(corpus, folder, settings, index=index, llm=llm, resume=True)
            break
        except EndpointError:
            stops += 1
            assert len(Run.open(folder).ballots()) >= 2 * 3 + 2 * stops
    assert stops > calls / 3
    assert decided(folder) == decided(tmp_path / "whole")


def test_stopped_before_it_decides_anew_it_is_not_finished(tmp_path, corpus, index, monkeypatch):
    """A run some of whose calls had failed, and were made again."""
    settings = settings_with(limit=9)
    failing = FakeLLM(lambda p, s: None if chance(p.utterance_id, s) % 2 else varied(p, s))
    ask_all(corpus, tmp_path / "r", settings, index=index, llm=failing)
    lost = EndpointError("gone")
    with pytest.raises(EndpointError):
        ask_all(
            corpus, tmp_path / "r", settings, index=index, llm=FakeLLM(fate=(0, lost)), resume=True
        )
    assert Run.open(tmp_path / "r").finished, "no answer came"
    with monkeypatch.context() as patch:
        patch.setattr("ragemo.runs.run.example_lines", lambda found: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ask_all(corpus, tmp_path / "r", settings, index=index, llm=FakeLLM(varied), resume=True)
    assert not Run.open(tmp_path / "r").finished
    ask_all(corpus, tmp_path / "r", settings, index=index, llm=FakeLLM(), resume=True)
    ask_all(corpus, tmp_path / "whole", settings, index=index, llm=FakeLLM(varied))
    assert decided(tmp_path / "r") == decided(tmp_path / "whole")


def test_failed_checks_are_made_again(tmp_path, corpus, index):
    settings = settings_with(limit=9, voting__calibration="contextual")
    failing = FakeLLM(lambda p, s: None if chance(p.utterance_id, s) % 2 else varied(p, s))
    ask_all(corpus, tmp_path / "r", settings, index=index, llm=failing)
    lost = {b.key for b in Run.open(tmp_path / "r").ballots() if b.failed}
    assert {key[0] for key in lost} == {"check", "verdict", "contentless"}

    second = FakeLLM(varied)
    ask_all(corpus, tmp_path / "r", settings, index=index, llm=second, resume=True)
    assert sorted(second.asked) == sorted((key[1], key[3]) for key in lost)
    ask_all(corpus, tmp_path / "whole", settings, index=index, llm=FakeLLM(varied))
    assert decided(tmp_path / "r") == decided(tmp_path / "whole")


@pytest.mark.parametrize("harm", ["cut", "gone", "other"])
@pytest.mark.parametrize("name", ["utterances.jsonl", "prompts.jsonl"])
def test_what_a_run_was_begun_with_is_there_again_when_it_goes_on(
    tmp_path, corpus, index, name, harm
):
    settings = resolve_settings({}, SMALL)

    def go(**others):
        llm = FakeLLM(varied)
        ask_all(corpus, tmp_path / "run", settings, index=index, llm=llm, **others)
        return llm.asked

    go()
    file, verdicts = tmp_path / "run" / name, tmp_path / "run/verdicts.jsonl"
    before = file.read_bytes(), verdicts.read_bytes()
    verdicts.unlink()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(before[0][:-20] if harm == "cut" else b"{}\n" + before[0])
    assert go(resume=True) == []
    assert (file.read_bytes(), verdicts.read_bytes()) == before
