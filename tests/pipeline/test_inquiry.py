"""No answer is paid for that is not needed, and a run that was stopped goes the way it went."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from ragemo.pipeline.inquiry import SettlingInquiry
from ragemo.pipeline.questions import Question
from ragemo.retrieval.index import Index
from ragemo.settings import resolve_settings
from ragemo.types import Ballot, Message, Prompt
from ragemo.voting.stopping import StoppingRule, vote_counts
from tests.conftest import LABELS, FakeEmbedder
from tests.fake_llm import FakeLLM
from tests.pipeline.inputs import (
    ROWS,
    SELF_CONSISTENCY,
    WORDS,
    ScoringLLM,
    WarmLLM,
    ask_all,
    asked_of,
    chance,
    gold_of,
    telling_corpus,
)

RULES = [StoppingRule("none"), StoppingRule("hard"), StoppingRule("posterior")]
RULES += [StoppingRule("posterior", threshold) for threshold in (0.6, 0.8, 0.99)]

rules = st.sampled_from(RULES)
answers = st.lists(st.sampled_from(["neu", "hap", "ang", "hap", "nothing"]), min_size=1, max_size=9)


def ballot_of(answer, sample, voter="fake"):
    shares = LABELS.one_hot(answer) if answer in LABELS.names else None
    return Ballot("u", voter, sample, shares, error="no answer" if answer == "failed" else None)


def inquiry_of(dealt, rule, answers_per_call=(1,) * 4, bases=None):
    """About one utterance; sample number n is asked of question `dealt[n]`."""
    models = []
    for number, own in enumerate(answers_per_call):
        models.append(WarmLLM(0.7, f"model {number}"))
        models[-1].answers_per_call = own
    questions = [
        Question(
            Prompt("u", (Message("user", f"question {number}"),), 1),
            number % len(models),
            tuple(sample for sample, question in enumerate(dealt) if question == number),
            f"variant {number}",
        )
        for number in sorted(set(dealt))
    ]
    return SettlingInquiry(questions, models, len(LABELS), rule, bases=bases)


def carried_out(inquiry, said, brings=128):
    """The samples that each call brings, with answers `said`; no call brings more than `brings`."""
    calls = []
    while (step := inquiry.next()) is not None:
        model, _, samples = step
        calls.append(list(samples[:brings]))
        inquiry.hear([ballot_of(said[sample], sample, model.name) for sample in calls[-1]])
    return calls


@st.composite
def asked(draw, said=answers):
    """Answers, and how their numbers are dealt to questions."""
    own = draw(said)
    return own, [draw(st.integers(0, 3)) for _ in own]


# -- when it stops ---------------------------------------------------------------------------------


@profile(max_examples=200, deadline=None)
@given(asked(), rules)
def test_what_is_spent_is_what_asking_one_by_one_would_spend(case, rule):
    said, dealt = case
    ballots = [ballot_of(answer, sample) for sample, answer in enumerate(said)]
    spent = 0
    while not rule.settled(vote_counts(ballots[:spent], len(LABELS)), len(said) - spent):
        spent += 1
    calls = carried_out(inquiry_of(dealt, rule), said)
    assert calls == [[sample] for sample in range(spent)]


@profile(max_examples=200, deadline=None)
@given(asked(), rules)
def test_where_answers_share_the_price_of_a_prompt_those_in_a_row_come_in_one_call(case, rule):
    said, dealt = case
    calls = carried_out(inquiry_of(dealt, rule, answers_per_call=(128,) * 4), said)
    heard = []
    for call in calls:
        question, further = dealt[call[0]], dealt[call[-1] + 1 :]
        assert call == list(range(call[0], call[-1] + 1))
        assert {dealt[sample] for sample in call} == {question}
        assert further[:1] != [question]
        counts = vote_counts([ballot_of(said[s], s) for s in heard], len(LABELS))
        assert not rule.settled(counts, len(said) - len(heard))
        heard += call
    counts = vote_counts([ballot_of(said[s], s) for s in heard], len(LABELS))
    assert rule.settled(counts, len(said) - len(heard))


@profile(max_examples=200, deadline=None)
@given(asked(), rules, st.integers(1, 4))
def test_what_is_heard_depends_on_what_calls_bring_and_not_on_what_was_known_of_it(
    case, rule, brings
):
    said, dealt = case
    known = carried_out(inquiry_of(dealt, rule, answers_per_call=(brings,) * 4), said)
    learned = carried_out(inquiry_of(dealt, rule, answers_per_call=(128,) * 4), said, brings)
    assert learned == known


def winner(said):
    counts = vote_counts([ballot_of(answer, 0) for answer in said], len(LABELS))
    return counts.index(max(counts)) if any(counts) else None


@profile(max_examples=200, deadline=None)
@given(asked(), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_the_hard_rule_never_changes_the_majority(case, answers_per_call):
    said, dealt = case
    calls = carried_out(inquiry_of(dealt, StoppingRule("hard"), answers_per_call), said)
    assert winner([said[sample] for call in calls for sample in call]) == winner(said)


@pytest.mark.parametrize("answers_per_call", [1, 128])
@pytest.mark.parametrize("vary", [[], ["template", "context"]])
def test_the_hard_rule_changes_no_label_of_a_whole_run(
    tmp_path, corpus, index, answers_per_call, vary
):
    def says(prompt, sample):
        answer = chance(user(prompt), sample) % 5
        return (*WORDS, "happy", "no idea")[answer]

    def user(prompt):
        return prompt.messages[-1].content

    labels, spent = [], []
    for stop in ("none", "hard"):
        overrides = {"voting.stop": stop, "llm.samples": 7, "voting.vary": vary, "retrieval.k": 2}
        llm = FakeLLM(says)
        llm.answers_per_call = answers_per_call
        run = ask_all(
            corpus,
            tmp_path / stop,
            resolve_settings({}, SELF_CONSISTENCY | overrides),
            index=index,
            llm=llm,
        )
        labels.append([verdict.label for verdict in run.verdicts()])
        spent.append(len(llm.asked))
    assert labels[0] == labels[1]
    assert len(set(labels[0])) == 3
    assert spent[0] == 7 * len(ROWS)
    assert (spent[1] < spent[0]) == (answers_per_call == 1 or bool(vary))


@pytest.mark.parametrize(("pool", "vary"), [("log", ["context", "demos"]), ("mean", [])])
def test_the_hard_rule_changes_no_pooled_verdict_either(tmp_path, pool, vary):
    """It stops where nothing could change what the pool says; the dialogue's say comes later."""
    train, test = (telling_corpus(12, 5, name, noise=50) for name in ("train", "test"))
    index, gold = Index.build(train, FakeEmbedder()), gold_of(train, test)

    def says(prompt, sample):
        lot = chance(prompt.messages[-1].content, sample)
        return gold[prompt.utterance_id] if lot % 2 else WORDS[lot % 3]

    labels, spent = {}, {}
    for stop in ("none", "hard"):
        overrides = {"voting.stop": stop, "voting.pool": pool, "voting.vary": vary}
        settings = resolve_settings(
            {}, {"llm.samples": 7, "voting.dialogue": "none", "retrieval.k": 2} | overrides
        )
        run = ask_all(test, tmp_path / stop, settings, index=index, llm=FakeLLM(says))
        assert run.panels()[0]["weighed"][0]["weight"] > 0.3
        labels[stop] = [verdict.label for verdict in run.verdicts()]
        spent[stop] = len(asked_of(run))
    assert labels["hard"] == labels["none"]
    assert spent["hard"] < 0.8 * spent["none"]


def test_first_choices_are_counted_without_what_a_model_says_of_everything():
    """As they are pooled: a leaning that every answer shares settles nothing."""
    scores = [(-1.0, -1.5, -9.0), (-1.0, -3.0, -9.0), (-1.0, -1.4, -9.0)]
    base = {"model 0": (-0.5, -1.8, -4.0)}

    def calls(bases):
        inquiry = inquiry_of([0, 4, 8], StoppingRule("hard"), bases=bases)
        count = 0
        while (step := inquiry.next()) is not None:
            _, _, (sample,) = step
            likely = replace(ballot_of("neu", sample, "model 0"), log_likelihoods=scores[sample])
            inquiry.hear([likely])
            count += 1
        return count

    assert calls({}) == 2
    assert calls(base) == 3
    assert calls({"another": base["model 0"]}) == 2


def test_what_the_pool_does_not_take_off_is_counted(tmp_path, corpus, index):
    """A model that leans to neutral whatever it is asked, and so settles it soon."""

    def scores(prompt):
        told = chance(prompt.messages[-1].content) % 2
        return (-0.2, -0.4 - 3.6 * told, -4.0 + 3.6 * told)

    spent = {}
    for calibration in ("contextual", "none"):
        # Without checks it is not weighed, and only its own first choices settle anything.
        overrides = {"voting.checks": 0, "voting.stop": "hard", "voting.calibration": calibration}
        settings = resolve_settings(
            {},
            {"voting.vary": ["context", "demos"], "llm.samples": 4, "retrieval.k": 2} | overrides,
        )
        llm = ScoringLLM(scores)
        run = ask_all(corpus, tmp_path / calibration, settings, index=index, llm=llm)
        spent[calibration] = len(asked_of(run))
    assert spent["none"] == 3 * len(ROWS)
    assert spent["contextual"] > spent["none"]


def test_what_is_heard_bears_its_variant_and_purpose(corpus):
    inquiry = inquiry_of([0, 1, 0], StoppingRule("none"))
    heard = []
    while (step := inquiry.next()) is not None:
        heard += inquiry.hear([ballot_of("hap", sample) for sample in step[2]])
    assert [(b.sample, b.variant, b.purpose) for b in heard] == [
        (0, "variant 0", "verdict"),
        (1, "variant 1", "verdict"),
        (2, "variant 0", "verdict"),
    ]


# -- stopped, and gone on with ---------------------------------------------------------------------


@profile(max_examples=200, deadline=None)
@given(asked(), rules, st.lists(st.booleans(), min_size=1, max_size=4), st.data())
def test_stopped_at_any_answer_it_goes_the_same_way(case, rule, shares, data):
    said, dealt = case
    whole = [
        sample for call in carried_out(inquiry_of(dealt, rule, shares), said) for sample in call
    ]
    kept = whole[: data.draw(st.integers(0, len(whole)))]
    inquiry = inquiry_of(dealt, rule, shares)
    assert len(set(inquiry.all_keys())) == len(said)
    inquiry.recall([ballot_of(said[sample], sample) for sample in kept])
    again = [sample for call in carried_out(inquiry, said) for sample in call]
    assert kept + again == whole


@profile(max_examples=200, deadline=None)
@given(asked(st.lists(st.sampled_from(["neu", "hap", "failed"]), min_size=1, max_size=9)), rules)
def test_failed_answers_are_asked_for_again_and_no_other(case, rule):
    said, dealt = case
    first = [s for call in carried_out(inquiry_of(dealt, rule), said) for s in call]
    there = [sample for sample in first if said[sample] != "failed"]
    inquiry = inquiry_of(dealt, rule)
    inquiry.recall([ballot_of(said[sample], sample) for sample in there])
    better = [answer if answer != "failed" else "hap" for answer in said]
    again = [s for call in carried_out(inquiry, better) for s in call]
    assert not set(again) & set(there)
    # All that failed, unless the first of them already settle it.
    failed = [sample for sample in first if said[sample] == "failed"]
    assert again[: len(failed)] == failed[: len(again)]
    if rule.kind == "none":
        assert again == failed
