"""What is known before anyone is asked, and what asking would cost."""

from pathlib import Path

import pytest

from ragemo.errors import SettingsError
from ragemo.labels import LabelSet
from ragemo.pipeline import carry_out, estimate, make_plan, predict
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.runs.scores import score_run
from ragemo.settings import Settings, resolve_settings
from ragemo.types import Ballot
from ragemo.voting.imported import Imported
from tests.conftest import FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM, user_text
from tests.pipeline.inputs import NO_INDEX, ROWS, ask_all, settings_with, varied


def planned(corpus, index, settings, llm=None, **others):
    return make_plan(corpus, settings, index=index, embedder=FakeEmbedder(), llm=llm, **others)


# -- what is asked about ---------------------------------------------------------------------------


def test_limit_takes_the_first_utterances_and_keeps_the_dialogues_whole(tmp_path):
    rows = [dict(row, needs_prediction=number % 4 != 1) for number, row in enumerate(ROWS)]
    corpus = make_corpus(rows)
    wanted = [u.id for u in corpus.utterances if u.needs_prediction]
    settings = settings_with(retrieval__k=0, limit=7, prompt__context=None)
    llm = FakeLLM()
    run = ask_all(corpus, tmp_path / "r", settings, llm=llm)
    assert [verdict.utterance_id for verdict in run.verdicts()] == wanted[:7]
    assert sorted(prompt.utterance_id for prompt in llm.prompts) == sorted(wanted[:7])
    assert len(run.utterances) == len(ROWS)
    assert [u.turn.utterance_id for u in run.utterances if u.predicted] == wanted[:7]
    last = next(prompt for prompt in llm.prompts if prompt.utterance_id == "b_0")
    assert "number 7" not in user_text(last)
    assert score_run(run, samples=10).n == 7


def test_a_small_budget_drops_demonstrations_and_says_so(corpus, index):
    settings = settings_with(prompt__max_tokens=90)
    llm = FakeLLM()
    plan = planned(corpus, index, settings, llm)
    expected = estimate(plan, llm)
    assert expected.dropped_demonstrations == sum(8 - len(p.demonstrations) for p in plan.prompts)
    assert expected.dropped_demonstrations > 0
    assert all(prompt.tokens <= 90 for prompt in plan.prompts)


# -- retrieval -------------------------------------------------------------------------------------


def test_more_than_eight_neighbours_vote_however_few_are_shown(corpus, index):
    none, three = (planned(corpus, index, settings_with(retrieval__k=k), FakeLLM()) for k in (0, 3))
    assert none.ballots == three.ballots
    assert {ballot.voter for ballot in none.ballots} == set(INDEX_VOTERS)
    assert {len(prompt.demonstrations) for prompt in none.prompts} == {0}
    assert {len(prompt.demonstrations) for prompt in three.prompts} == {3}


def test_context_counts_in_retrieval_as_the_settings_say(corpus, index):
    def found(**retrieval):
        plan = planned(corpus, index, resolve_settings({"retrieval": retrieval}))
        return {
            target: [(d.window.target.utterance_id, round(d.similarity, 4)) for d in shown]
            for target, shown in plan.demonstrations.items()
        }

    assert found() == found(context_weight=0.3, context_decay=0.6, context_length=8)
    assert found(context_weight=0) == found(context_weight=0, context_length=2)
    assert found() != found(context_weight=0)
    assert found() != found(context_decay=0.1)
    assert found() != found(context_length=1)
    # Where context does not count, the same words stand first.
    assert all(
        shown[0] == (f"train {name}", 1.0) for name, shown in found(context_weight=0).items()
    )


def test_exact_duplicates_can_be_shut_out(corpus, index):
    settings = resolve_settings({"retrieval": {"exclude_duplicates": True, "k": 30}})
    plan = planned(corpus, index, settings)
    texts = {u.turn.utterance_id: u.turn.text for u in plan.utterances}
    for target, shown in plan.demonstrations.items():
        assert len(shown) == len(ROWS) - 1
        assert texts[target] not in [d.window.target.text for d in shown]


# -- what it would cost ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"llm.samples": 3},
        {"llm.samples": 3, "voting.checks": 5},
        {"voting.checks": 0},
        {"voting.calibration": "contextual", "llm.samples": 2},
        {"voting.vary": ["template", "context"], "llm.samples": 4},
        {"voting.pool": "majority"},
        {"limit": 4},
    ],
)
@pytest.mark.parametrize("answers_per_call", [1, 2, 128])
def test_an_estimate_counts_what_is_then_asked(
    corpus, index, tmp_path, overrides, answers_per_call
):
    settings = resolve_settings({}, {"voting.stop": "none"} | overrides)
    llm = FakeLLM(varied)
    llm.answers_per_call = answers_per_call
    plan = planned(corpus, index, settings, llm)
    expected = estimate(plan, llm)
    assert llm.prompts == []

    calls, ask = [], llm.ask

    async def counting(prompt, labels, samples):
        calls.append((prompt.tokens, len(samples)))
        return await ask(prompt, labels, samples)

    llm.ask = counting
    run = carry_out(plan, settings, tmp_path / "r", llm=llm)
    assert expected.utterances == len(run.verdicts())
    assert expected.answers == len(llm.asked) == sum(count for _, count in calls)
    preliminary = [b for b in run.ballots() if b.purpose != "verdict"]
    assert expected.check_answers == len(preliminary)
    assert expected.answer_tokens == 16 * len(llm.asked)
    assert max(count for _, count in calls) <= answers_per_call
    assert expected.prompt_tokens == sum(tokens for tokens, _ in calls) > 0
    assert expected.cost == pytest.approx(
        0.001 * expected.prompt_tokens + 0.002 * expected.answer_tokens
    )
    assert expected.exact is False


def test_an_estimate_is_the_most_that_stopping_early_can_cost(corpus, tmp_path):
    settings = settings_with(retrieval__k=0, llm__samples=5)
    llm = FakeLLM()
    plan = make_plan(corpus, settings, llm=llm)
    expected = estimate(plan, llm)
    carry_out(plan, settings, tmp_path / "r", llm=llm)
    assert len(llm.asked) == 3 * len(ROWS) < expected.answers == 5 * len(ROWS)


def test_several_models_prices_are_added_and_an_unknown_one_makes_all_unknown(corpus):
    class Other(FakeLLM):
        name = "other"
        counts_exactly = True

        def price(self, prompt_tokens, answer_tokens):
            return None if unknown else 7.0

    settings = settings_with(retrieval__k=0, llm__samples=2, voting__vary=["model"])
    models = (FakeLLM(), Other())
    plan = make_plan(corpus, settings, llm=models[0], others=models[1:])
    unknown = False
    half = make_plan(corpus, NO_INDEX, llm=models[0])
    alone = estimate(half, models[0])
    both = estimate(plan, *models)
    assert both.cost == pytest.approx(alone.cost + 7)
    assert (both.answers, both.prompt_tokens) == (2 * alone.answers, 2 * alone.prompt_tokens)
    unknown = True
    assert estimate(plan, *models).cost is None


# -- what is refused -------------------------------------------------------------------------------


def test_nobody_to_vote_is_refused(corpus, index, tmp_path):
    with pytest.raises(SettingsError, match="nobody votes"):
        ask_all(corpus, tmp_path / "r", NO_INDEX)
    with pytest.raises(SettingsError, match=r"retrieval\.k is 8.*--index.*--k 0"):
        ask_all(corpus, tmp_path / "r", Settings(), llm=FakeLLM())
    with pytest.raises(SettingsError, match="embedder"):
        predict(corpus, Settings(), tmp_path / "r", index=index)
    assert list(tmp_path.iterdir()) == []


def test_an_index_of_other_labels_is_refused(index, tmp_path):
    other = LabelSet.from_dict({"name": "other", "labels": ["neu", "joy"]})
    corpus = make_corpus([{"dialogue": "a", "text": "x", "emotion": "joy"}], other)
    with pytest.raises(SettingsError, match=r"'a_0'.*'joy'.*'three'"):
        ask_all(corpus, tmp_path / "r", Settings(), index=index)
    assert list(tmp_path.iterdir()) == []


def test_voters_that_are_not_there_and_a_model_asked_for_nothing_are_refused(corpus, index):
    with pytest.raises(SettingsError, match=r"no voter 'prob'; there are neighbours, probe, words"):
        planned(corpus, index, settings_with(voting__voters=["prob"]))
    with pytest.raises(SettingsError, match=r"leaves out 'fake', which would be asked all the"):
        planned(corpus, index, settings_with(voting__voters=["probe"]), FakeLLM())
    assert planned(corpus, index, settings_with(voting__voters=["probe"])).ballots


def file_of(*voters):
    ballots = tuple(Ballot("a_0", voter, distribution=(1.0, 0.0, 0.0)) for voter in voters)
    return Imported(ballots, voters, (), Path("x.csv"), "0" * 64)


@pytest.mark.parametrize("name", ["fake", "words", "twin"])
def test_two_voters_of_one_name_are_refused(corpus, index, name):
    with pytest.raises(SettingsError, match=f"two voters are called '{name}'"):
        planned(
            corpus, index, Settings(), FakeLLM(), imported=[file_of("twin"), file_of(name, "x")]
        )
