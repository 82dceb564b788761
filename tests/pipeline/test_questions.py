"""What is asked about an utterance: prompts that differ, as far as there are any that do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.pipeline import make_plan
from ragemo.pipeline.preliminary import CONTENTLESS
from ragemo.prompting.templates import clean
from ragemo.retrieval.index import Index
from ragemo.settings import resolve_settings
from ragemo.types import Dialogue
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import (
    ROWS,
    ScoringLLM,
    WarmLLM,
    ask_all,
    asked_of,
    heard_by,
    settings_with,
    varied,
)

AXES = ("transcript", "demos", "context", "template", "model", "temperature")
HEARD = heard_by(make_corpus(ROWS), "base", "large", "tiny")
INDEX = Index.build(
    heard_by(
        make_corpus([{**row, "dialogue": f"train {row['dialogue']}"} for row in ROWS]), "large"
    ),
    FakeEmbedder(),
)
OTHERS = {
    "model": [WarmLLM(0.7, "second")],
    "temperature": [WarmLLM(0.0), WarmLLM(1.0)],
}


def planned(vary, samples=4, llm=None, others=None, **overrides):
    settings = settings_with(
        corpus__transcript="large", voting__vary=vary, llm__samples=samples, **overrides
    )
    if others is None:
        others = [other for axis in vary for other in OTHERS.get(axis, [])]
    return make_plan(
        HEARD,
        settings,
        index=INDEX,
        embedder=FakeEmbedder(),
        llm=llm or WarmLLM(0.7),
        others=others,
    )


def shown(question):
    return (question.model, question.prompt.messages)


@profile(max_examples=25, deadline=None)
@given(
    vary=st.lists(st.sampled_from(AXES), unique=True),
    samples=st.integers(1, 9),
    k=st.integers(0, 3),
    context=st.sampled_from([None, 0, 1, 4]),
)
def test_prompts_differ_the_first_is_the_usual_one_and_all_samples_are_asked_once(
    vary, samples, k, context
):
    others = {"retrieval__k": k, "prompt__context": context}
    plan = planned(vary, samples, **others)
    usual = planned([], samples, **others)
    assert plan.questions.keys() == usual.questions.keys()
    for target, questions in plan.questions.items():
        (only,) = usual.questions[target]
        assert shown(questions[0]) == shown(only)
        assert questions[0].variant == ""
        assert len({shown(question) for question in questions}) == len(questions) <= samples
        assert len({question.variant for question in questions}) == len(questions)
        assert [question.samples[0] for question in questions] == list(range(len(questions)))
        numbers = [sample for question in questions for sample in question.samples]
        assert sorted(numbers) == list(range(samples))
        # Asked again evenly, the first ones first.
        counts = [len(question.samples) for question in questions]
        assert counts == sorted(counts, reverse=True)
        assert counts[0] - counts[-1] <= 1
    assert planned(vary, samples, **others).questions == plan.questions


@pytest.mark.parametrize("samples", [8, 12, 24, 100])
def test_there_are_as_many_prompts_as_can_be_told_apart(samples):
    vary = ["transcript", "demos", "context", "template"]
    plan = planned(vary, samples, retrieval__k=10)
    for target, questions in plan.questions.items():
        place = int(target[2:])
        contexts = {min(context, place) for context in (4, 0, 8, 2, 99)}
        # Three transcripts, two sets of ten neighbours out of the twenty-four, two templates.
        assert len(questions) == min(samples, 3 * 2 * len(contexts) * 2)


@pytest.mark.parametrize("exact", [False, True])
def test_who_draws_answers_is_asked_again_and_who_scores_labels_is_not(tmp_path, exact):
    llm = ScoringLLM(lambda prompt: (-1.0, -2.0, -3.0)) if exact else FakeLLM(varied)
    plan = planned(["template"], 5, llm=llm)
    expected = [(0,), (1,)] if exact else [(0, 2, 4), (1, 3)]
    for questions in plan.questions.values():
        assert [question.samples for question in questions] == expected
    (once,) = planned([], 5, llm=llm).questions["a_0"]
    assert once.samples == ((0,) if exact else (0, 1, 2, 3, 4))


def test_a_ballot_says_what_its_prompt_had_of_its_own(tmp_path):
    settings = settings_with(
        llm__samples=4, voting__vary=["template"], voting__stop="none", corpus__transcript="large"
    )
    run = ask_all(HEARD, tmp_path / "r", settings, index=INDEX, llm=FakeLLM(varied))
    variants = {(b.sample, b.variant) for b in run.ballots() if b.purpose == "verdict"}
    second = "template few-shot-chat"
    assert variants == {(0, ""), (1, second), (2, ""), (3, second)}
    assert len(asked_of(run)) == 4 * len(ROWS)


# -- each axis -------------------------------------------------------------------------------------


def test_transcripts_take_turns_for_the_target_alone():
    questions = planned(["transcript"]).questions["a_3"]
    assert [q.variant for q in questions] == ["", "transcript base", "transcript tiny"]
    for question, system in zip(questions, ("large", "base", "tiny"), strict=True):
        asked = question.prompt.messages[-1].content
        for turn in range(3):
            assert f"words number {turn} told" in asked
        assert f"words number 3 {HEARD.utterances[3].hypotheses[system][15:]}" in asked
        assert sum(asked.count(f" {other}") for other in ("tiny", "base")) == (system != "large")


def transcripts_in_turn(**texts):
    """The order in which one utterance's transcripts are asked about, after the chosen one."""
    corpus = make_corpus([{"dialogue": "a", "text": ""}])
    (utterance,) = corpus.utterances
    dialogue = Dialogue("a", (replace(utterance, hypotheses=texts),))
    settings = settings_with(
        retrieval__k=0, voting__vary=["transcript"], llm__samples=4, corpus__transcript="one"
    )
    plan = make_plan(replace(corpus, dialogues=(dialogue,)), settings, llm=FakeLLM())
    return [question.variant for question in plan.questions["a_0"]][1:]


def test_a_transcript_that_says_the_same_or_nothing_is_no_other():
    assert transcripts_in_turn(
        one="Oh, my God!", two="oh my god", three="  ", four="oh my dog", five="Oh! My dog."
    ) == ["transcript five"]


def test_each_transcript_is_as_unlike_those_before_as_can_be():
    turns = transcripts_in_turn(one="a b c d", near="a b c e", middle="a b z w", far="x y z w")
    assert turns == ["transcript far", "transcript middle", "transcript near"]
    assert transcripts_in_turn(one="", near="a b") == ["transcript near"]


def test_sets_of_demonstrations_share_none_and_the_closest_come_first():
    nine = planned([], retrieval__k=9).questions["b_2"][0].prompt.demonstrations
    questions = planned(["demos"], retrieval__k=3).questions["b_2"]
    assert [q.variant for q in questions[:3]] == ["", "demos set 2", "demos set 3"]
    assert sum((q.prompt.demonstrations for q in questions[:3]), ()) == nine


def test_context_is_longer_shorter_and_none():
    questions = planned(["context"], 9, prompt__context=1).questions["a_7"]
    turns = {q.variant: q.prompt.messages[-1].content.count("\nB: ") for q in questions}
    counts = [
        sum(
            f"words number {turn} " in q.prompt.messages[-1].content.split("Next")[0]
            for turn in range(8)
        )
        for q in questions
    ]
    assert list(turns) == ["", "context 0", "context 2", "context all"]
    assert counts == [1, 0, 2, 7]
    # The second turn of a dialogue has but one before it.
    questions = planned(["context"], 9, prompt__context=1).questions["a_1"]
    assert [q.variant for q in questions] == ["", "context 0"]
    questions = planned(["transcript", "context"], 9).questions["b_0"]
    assert [q.variant for q in questions] == ["", "transcript base", "transcript tiny"]
    (only,) = planned(["context"], 9).questions["b_0"]
    assert only.samples == tuple(range(9))


def test_templates_take_turns_where_there_is_something_to_show():
    assert [q.variant for q in planned(["template"]).questions["a_0"]] == [
        "",
        "template few-shot-chat",
    ]
    own = planned(["template"], prompt__template="zero-shot").questions["a_0"]
    assert [q.variant for q in own] == ["", "template few-shot", "template few-shot-chat"]
    assert len(planned(["template"], retrieval__k=0).questions["a_0"]) == 1


def test_models_take_turns_and_each_is_a_voter(tmp_path):
    others = [WarmLLM(0.7, "second"), WarmLLM(0.7, "third")]
    settings = settings_with(llm__samples=3, voting__vary=["model"], voting__stop="none")
    run = ask_all(HEARD, tmp_path / "r", settings, index=INDEX, llm=FakeLLM(varied), others=others)
    ballots = [b for b in run.ballots() if b.purpose == "verdict" and b.utterance_id == "a_0"]
    assert {b.voter: (b.sample, b.variant) for b in ballots if b.sample} == {
        "second": (1, "model second at 0.7"),
        "third": (2, "model third at 0.7"),
    }
    # Each is tried by itself, and counts for what it is worth.
    for voter in ("fake", "second", "third"):
        assert len(asked_of(run, voter, "check")) == len(ROWS)
    (record,) = run.panels()
    assert [one["voter"] for one in record["weighed"]] == ["fake", "second", "third"]
    assert run.manifest["others"] == [other.identity for other in others]


def test_temperatures_take_turns_as_one_voter(tmp_path):
    llm, *others = [WarmLLM(temperature) for temperature in (0.7, 0.0, 1.0)]
    settings = settings_with(llm__samples=3, voting__vary=["temperature"], voting__stop="none")
    run = ask_all(HEARD, tmp_path / "r", settings, index=INDEX, llm=llm, others=others)
    ballots = [b for b in run.ballots() if b.utterance_id == "a_0" and b.voter == "fake"]
    assert sorted((b.sample, b.variant) for b in ballots) == [
        (0, ""),
        (1, "model fake at 0.0"),
        (2, "model fake at 1.0"),
    ]
    assert {len(model.asked) for model in others} == {len(ROWS)}
    # The windows it is tried on are asked about once, at its own temperature.
    assert len(asked_of(run, purpose="check")) == len(ROWS)
    assert len(llm.asked) == 2 * len(ROWS)


def test_who_answers_alike_at_any_temperature_is_not_asked_twice():
    """As a model that scores labels, which has none."""

    def scoring():
        return ScoringLLM(lambda prompt: (-1.0, -2.0, -3.0))

    plan = planned(["temperature"], 3, llm=scoring(), others=[scoring(), scoring()])
    assert {len(questions) for questions in plan.questions.values()} == {1}


def test_a_model_whose_turn_does_not_come_is_not_tried_either():
    others = [WarmLLM(0.7, "second"), WarmLLM(0.7, "third")]
    plan = planned(["model"], 2, others=others, voting__calibration="contextual", voting__checks=9)
    assert {q.model for questions in plan.questions.values() for q in questions} == {0, 1}
    assert [q.model for q in plan.checks] == [0] * 9 + [1] * 9
    assert {q.model for q in plan.contentless} == {0, 1}


# -- what must not be seen -------------------------------------------------------------------------


def test_no_variant_holds_a_later_turn_in_anybody_s_words():
    rows = [
        {"dialogue": f"d{dialogue}", "text": f"d{dialogue}t{turn}x", "speaker": "AB"[turn % 2]}
        for dialogue in range(4)
        for turn in range(6)
    ]
    corpus = heard_by(make_corpus(rows), "one", "two", "three")
    index = Index.build(corpus, FakeEmbedder())
    settings = resolve_settings(
        {}, {"voting.vary": list(AXES[:4]), "llm.samples": 24, "retrieval.k": 4}
    )
    plan = make_plan(corpus, settings, index=index, embedder=FakeEmbedder(), llm=FakeLLM())
    texts = [
        (d, t, f"d{d}t{t}x {system}")
        for d in range(4)
        for t in range(6)
        for system in ("one", "two", "three")
    ]
    prompts = 0
    for target, questions in plan.questions.items():
        dialogue, place = int(target[1]), int(target[-1])
        seen = set()
        for question in questions:
            prompts += 1
            everything = "\n".join(message.content for message in question.prompt.messages)
            own = [(turn, text) for d, turn, text in texts if d == dialogue and text in everything]
            assert all(turn <= place for turn, _ in own)
            seen |= {text for _, text in own}
        assert {f"d{dialogue}t{place}x {system}" for system in ("one", "two", "three")} <= seen
    assert prompts > 400


# -- windows that say nothing ----------------------------------------------------------------------


def contentless(calibration="contextual", samples=2, llm=None, **others):
    return planned([], samples, llm=llm, voting__calibration=calibration, **others).contentless


def test_what_says_nothing_is_asked_for_contextual_calibration_only():
    assert contentless("batch") == contentless("none") == ()
    assert contentless(voting__pool="majority") == ()
    questions = contentless()
    assert [q.samples for q in questions] == [(0, 1)] * len(CONTENTLESS)
    assert contentless() == questions
    for question, text in zip(questions, CONTENTLESS, strict=True):
        prompt = question.prompt
        assert prompt.messages[-1].content.endswith(f'"{clean(text)}" ->')
        assert len(prompt.demonstrations) == 8
    drawn = [d.window.target.utterance_id for q in questions for d in q.prompt.demonstrations]
    assert len(set(drawn)) > 12  # by lot, not the same ones each time
    assert contentless(seed=1) != questions
    scoring = ScoringLLM(lambda prompt: (-1.0, -2.0, -3.0))
    assert [q.samples for q in contentless(llm=scoring)] == [(0,)] * len(CONTENTLESS)


def test_what_is_said_of_nothing_is_taken_off(tmp_path):
    def says(prompt, sample):
        if prompt.utterance_id.startswith("contentless"):
            return "angry"
        return varied(prompt, sample)

    settings = settings_with(voting__calibration="contextual", llm__samples=2)
    run = ask_all(HEARD, tmp_path / "r", settings, index=INDEX, llm=FakeLLM(says))
    assert len(asked_of(run, purpose="contentless")) == 2 * len(CONTENTLESS)
    (record,) = run.panels()
    base = record["panel"]["bases"]["fake"]
    assert base.index(max(base)) == LABELS.index("ang")
    assert base[0] == base[1]
    # None of it is a verdict's.
    assert {v.utterance_id for v in run.verdicts()} == {u.id for u in HEARD.utterances}


def test_too_few_examples_to_draw_from_are_an_error():
    with pytest.raises(SettingsError, match=r"draws 30 demonstrations, and the index has 24; use"):
        contentless(retrieval__k=30)
