"""Labelled windows on which a language model is tried, before anything else is asked."""

from dataclasses import replace

import pytest

from ragemo.pipeline import estimate, make_plan
from ragemo.retrieval.index import Index
from ragemo.settings import resolve_settings
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import ROWS, ask_all, asked_of, gold_of, mostly_right, varied

OWN = "1" * 64


def planned(corpus, index, overrides=(), llm=None):
    return make_plan(
        corpus,
        resolve_settings({}, dict(overrides)),
        index=index,
        embedder=FakeEmbedder(),
        llm=llm or FakeLLM(),
    )


def checked(plan):
    return [question.prompt.utterance_id for question in plan.checks]


@pytest.fixture(scope="module")
def own_corpus():
    """Twelve dialogues of six turns, two speakers and four sessions."""
    return make_corpus(
        [
            {
                **ROWS[(7 * dialogue + turn) % len(ROWS)],
                "dialogue": f"d{dialogue:02}",
                "speaker": f"S{(dialogue + turn % 2) % 4}",
                "session": f"s{dialogue % 4}",
            }
            for dialogue in range(12)
            for turn in range(6)
        ]
    )


@pytest.fixture(scope="module")
def own_index(own_corpus):
    return Index.build(own_corpus, FakeEmbedder())


# -- how many, and when ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        ({}, 24),
        ({"voting.checks": 9}, 9),
        ({"voting.checks": 8}, 8),
        ({"voting.checks": 7}, 0),  # too few to weigh anybody by
        ({"voting.checks": 1000}, 24),
        ({"limit": 3}, 0),
        ({"limit": 10}, 10),
        ({"voting.checks": 0}, 0),
        ({"voting.pool": "majority"}, 0),
        ({"llm.samples": 3, "voting.checks": 9}, 9),
    ],
)
def test_as_many_as_are_asked_for_and_as_are_predicted(corpus, index, overrides, count):
    plan = planned(corpus, index, overrides)
    names = checked(plan)
    assert len(set(names)) == len(names) == count
    assert names == sorted(names)
    assert {question.samples for question in plan.checks} <= {(0,)}
    expected = estimate(plan, FakeLLM())
    assert expected.check_answers == count


def test_no_more_than_the_index_s_voters_were_held_out_of(corpus):
    rows = [{**row, "dialogue": f"train {row['dialogue']}"} for row in ROWS[:10]]
    assert len(planned(corpus, Index.build(make_corpus(rows), FakeEmbedder())).checks) == 10
    # Of an index of one dialogue, no window can be asked about without its own dialogue.
    one = planned(corpus, Index.build(make_corpus(rows[:8]), FakeEmbedder()))
    assert not one.checks
    assert one.ballots


def test_which_ones_is_drawn_by_the_seed(corpus, index):
    drawn = [
        checked(planned(corpus, index, {"voting.checks": 9, "seed": seed})) for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_without_an_index_or_a_model_there_are_none(corpus, index):
    assert not planned(corpus, None, {"retrieval.k": 0}).checks
    settings = resolve_settings({})
    plan = make_plan(corpus, settings, index=index, embedder=FakeEmbedder())
    assert not plan.checks


# -- how they are asked ----------------------------------------------------------------------------


@pytest.mark.parametrize("exclude", ["dialogue", "session", "speaker"])
@pytest.mark.parametrize("limit", [None, 20])
def test_a_check_is_shown_nothing_of_its_own_dialogue(own_corpus, own_index, exclude, limit):
    """Asked as a target is: by the same settings, its own context, and nothing of its own."""
    foreign = replace(
        make_corpus([{**row, "dialogue": f"x{row['dialogue']}"} for row in ROWS]), sha256=OWN
    )
    overrides = {
        "retrieval.exclude": exclude,
        "retrieval.k": 40,
        "prompt.max_tokens": 10**6,
        "prompt.context": 2,
        "prompt.demonstration_context": 1,
        "limit": limit,
    }
    unit = {"dialogue": "dialogue_id", "session": "session", "speaker": "speaker"}[exclude]
    known = {u.id: u for u in own_corpus.utterances}
    for corpus in (foreign, own_corpus):
        plan = planned(corpus, own_index, overrides)
        assert bool(plan.checks) == (corpus is foreign or limit is not None)
        for question in plan.checks:
            own = known[question.prompt.utterance_id]
            assert len(question.prompt.demonstrations) > 30
            for shown in question.prompt.demonstrations:
                other = shown.window.target
                assert other.dialogue_id != own.dialogue_id
                assert getattr(other, unit) != getattr(own, unit)
                assert len(shown.window.context) <= 1
            text = question.prompt.messages[-1].content
            assert text.endswith(f'"{own.hypotheses["asr"]}" ->')
            context = text.split("Next speaks")[0].splitlines()
            assert len([line for line in context if line]) == min(2, own.turn)


def test_a_check_s_context_follows_the_settings_composition(own_corpus, own_index):
    """Its neighbours are found as a target's are."""
    foreign = replace(
        make_corpus([{**row, "dialogue": f"x{row['dialogue']}"} for row in ROWS]), sha256=OWN
    )

    def shown(weight):
        plan = planned(foreign, own_index, {"retrieval.context_weight": weight})
        return {
            q.prompt.utterance_id: [d.window.target.text for d in q.prompt.demonstrations]
            for q in plan.checks
        }

    alone, with_context = shown(0.0), shown(0.6)
    assert alone.keys() == with_context.keys()
    assert alone != with_context
    texts = {u.id: u.hypotheses["asr"] for u in own_corpus.utterances}
    # Without context, the same words in another dialogue stand first.
    assert all(found[0] == texts[name] for name, found in alone.items())


# -- on the index's own dialogues ------------------------------------------------------------------


def test_a_target_of_the_index_s_own_is_its_own_check(tmp_path, own_corpus, own_index):
    llm = FakeLLM(mostly_right(gold_of(own_corpus)))
    settings = resolve_settings({}, {"voting.stop": "none", "llm.samples": 2})
    run = ask_all(own_corpus, tmp_path / "r", settings, index=own_index, llm=llm)
    assert len(set(llm.asked)) == len(llm.asked) == 2 * len(own_corpus.utterances)
    assert asked_of(run, purpose="check") == []
    # Each part of the index weighs it by the windows of the other parts.
    records, parts = run.panels(), run.parts()
    assert len(records) == 5
    for place, record in enumerate(records):
        (weighed,) = record["weighed"]
        assert weighed["by"] == "labelled windows"
        assert weighed["windows"] == len(own_corpus.utterances) - parts.count(place)
        assert weighed["weight"] > 0.3


@pytest.mark.parametrize("limit", [1, 9, 30, 71])
def test_no_window_is_asked_about_as_target_and_as_check(tmp_path, own_corpus, own_index, limit):
    plan = planned(own_corpus, own_index, {"limit": limit})
    assert not set(checked(plan)) & set(plan.targets)
    # Drawn from all windows; those that are targets have their answers already.
    assert len(plan.checks) <= min(limit, 64)
    if limit == 30:
        llm = FakeLLM(varied)
        settings = resolve_settings({}, {"limit": limit})
        run = ask_all(own_corpus, tmp_path / "r", settings, index=own_index, llm=llm)
        assert len(set(llm.asked)) == len(llm.asked) == 30 + len(plan.checks)
        assert 0 < len(plan.checks) < 30
        assert [name for name, _ in asked_of(run, purpose="check")] == checked(plan)


def test_dialogues_that_bear_an_own_dialogue_s_name_by_chance_are_no_checks(
    tmp_path, own_corpus, own_index
):
    """As those of MELD's parts do: their labels are not the index's to know."""
    foreign = replace(
        make_corpus(
            [
                {"dialogue": f"d{d:02}", "text": f"quite other talk{d}{t}", "emotion": "neu"}
                for d in range(12)
                for t in range(6)
            ]
        ),
        sha256=OWN,
    )
    settings = resolve_settings({}, {"voting.checks": 10})
    run = ask_all(foreign, tmp_path / "r", settings, index=own_index, llm=FakeLLM(varied))
    ((weighed,),) = [record["weighed"] for record in run.panels()]
    assert weighed["windows"] == len(asked_of(run, purpose="check")) == 10


def test_checks_are_on_disk_before_any_target_is_asked(tmp_path, corpus, index):
    settings = resolve_settings(
        {}, {"voting.calibration": "contextual", "llm.samples": 2, "voting.stop": "none"}
    )
    run = ask_all(corpus, tmp_path / "r", settings, index=index, llm=FakeLLM(varied))
    purposes = [ballot.purpose for ballot in run.ballots() if ballot.voter == "fake"]
    assert purposes == sorted(purposes, key=lambda purpose: purpose == "verdict")
    assert {purpose: purposes.count(purpose) for purpose in purposes} == {
        "contentless": 6,
        "check": 24,
        "verdict": 48,
    }


def test_without_checks_a_model_is_weighed_by_its_agreement(tmp_path, corpus, index):
    for name, checks, how in (("with", 24, "labelled windows"), ("without", 0, "agreement")):
        settings = resolve_settings({}, {"voting.checks": checks})
        run = ask_all(corpus, tmp_path / name, settings, index=index, llm=FakeLLM(varied))
        ((weighed,),) = [record["weighed"] for record in run.panels()]
        assert (weighed["by"], weighed["windows"]) == (how, 24)


# -- its own label ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"prompt.template": "few-shot-soft"},
        {"prompt.template": "hint"},
        {"retrieval.strategy": ["emotion"]},
        {"retrieval.strategy": ["ambiguous", "balanced"], "retrieval.exclude": "session"},
    ],
    ids=str,
)
def test_what_is_asked_about_a_window_does_not_change_with_its_own_label(own_corpus, overrides):
    how = {"voting.checks": 12, "retrieval.k": 4} | overrides
    target = make_corpus([{**row, "dialogue": f"q{n // 6}"} for n, row in enumerate(ROWS[:12])])
    before = planned(target, Index.build(own_corpus, FakeEmbedder()), how)
    asked = checked(before)[0]
    rows = [
        replace(u, emotion=next(n for n in LABELS.names if n != u.emotion)) if u.id == asked else u
        for u in own_corpus.utterances
    ]
    flipped = replace(
        own_corpus,
        dialogues=tuple(
            replace(d, utterances=tuple(u for u in rows if u.dialogue_id == d.id))
            for d in own_corpus.dialogues
        ),
    )
    after = planned(target, Index.build(flipped, FakeEmbedder()), how)
    assert checked(after)[0] == asked
    assert after.checks[0].prompt.messages == before.checks[0].prompt.messages
