"""Shared sets of demonstrations in a run: what is asked, in which order, and what changes it."""

from itertools import groupby

import pytest

from ragemo.pipeline import make_plan, predict
from ragemo.pipeline.asking_order import repeated_share
from ragemo.retrieval.index import Index
from ragemo.types import Message, Prompt
from tests.conftest import FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import settings_with, telling_rows, varied

TRAINING = make_corpus(telling_rows(8, 9, "train"))
ASKED = make_corpus(telling_rows(4, 9, "asked"))


def settings_of(**overrides):
    known = {"retrieval__sets": 3, "retrieval__k": 4, "prompt__template": "few-shot-chat"}
    return settings_with(**known | {"voting__checks": 0} | overrides)


@pytest.fixture(scope="module")
def index():
    return Index.build(TRAINING, FakeEmbedder())


def shown(prompt):
    return tuple(one.window.target.utterance_id for one in prompt.demonstrations)


def planned(index, **overrides):
    return make_plan(
        ASKED, settings_of(**overrides), index=index, embedder=FakeEmbedder(), llm=FakeLLM()
    )


def test_there_are_no_more_sets_than_asked_for(index):
    assert len({shown(prompt) for prompt in planned(index).prompts}) in (2, 3)
    assert len({shown(prompt) for prompt in planned(index, retrieval__sets=None).prompts}) > 10


def test_those_with_the_same_set_are_asked_one_after_the_other(index, tmp_path):
    model = FakeLLM()
    model.concurrency = 1
    predict(ASKED, settings_of(), tmp_path, index=index, embedder=FakeEmbedder(), llm=model)
    runs = [key for key, _ in groupby(map(shown, model.prompts))]
    assert len(runs) == len(set(runs)) > 1
    assert len(model.prompts) == 36


def test_a_prompt_depends_on_no_other_target(index):
    """Neither on a limit, which is what a run that is gone on with, or in blocks, comes down to."""
    whole = planned(index)
    for limit in (1, 7, 20):
        part = planned(index, limit=limit)
        assert part.prompts == whole.prompts[:limit]


def test_labelled_windows_are_asked_about_with_the_same_sets(index):
    plan = planned(index, voting__checks=20)
    sets = {shown(prompt) for prompt in plan.prompts}
    tried = [q.prompt for q in plan.checks]
    assert len(tried) == 20
    assert sum(shown(prompt) in sets for prompt in tried) >= 10
    for prompt in tried:
        own = prompt.utterance_id.rpartition("_")[0]
        assert not [one for one in shown(prompt) if one.rpartition("_")[0] == own]


def test_verdicts_do_not_depend_on_the_order_of_asking(index, tmp_path):
    """Runs that were asked by one and by several workers are the same."""
    verdicts = []
    for workers in (1, 5):
        model = FakeLLM(varied)
        model.concurrency = workers
        out = tmp_path / str(workers)
        run = predict(ASKED, settings_of(), out, index=index, embedder=FakeEmbedder(), llm=model)
        verdicts.append(run.verdicts())
    assert verdicts[0] == verdicts[1]


def test_a_note_says_how_much_repeats(index):
    (first,) = planned(index).notes
    (other,) = planned(index, prompt__template="few-shot").notes
    chat, lines = (int(note.partition("%")[0]) for note in (first, other))
    assert chat > lines
    assert not planned(index, retrieval__sets=None).notes


def test_what_repeats_is_counted_from_the_beginning():
    texts = ["abcdef", "abcxef", "abcxef", "zbcxef"]
    prompts = [Prompt("u", (Message("user", text),), tokens=1) for text in texts]
    assert repeated_share(prompts) == (3 + 6 + 0) / 24
    assert repeated_share([]) == 0
