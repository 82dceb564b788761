"""What a budget lets through, and what it counts."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ragemo.errors import SettingsError
from ragemo.llm.budget import Amount, Budget, BudgetError, MeteredModel, read_budget
from ragemo.llm.sending.connection import NotSentError
from ragemo.types import Ballot, Message, Prompt, Usage, Window
from tests.conftest import LABELS, make_turn
from tests.fake_llm import FakeLLM, ShortLLM

PROMPT = Prompt("u1", (Message("user", "hello"),), 0, form="label", window=Window((make_turn(),)))


def asked(model, *samples):
    ballots = asyncio.run(model.ask(PROMPT, LABELS, samples))
    return [ballot.sample for ballot in ballots]


@pytest.mark.parametrize(
    ("samples", "first"),
    [([0, 1, 2], [0, 1, 2]), ([0, 2, 3], [0]), ([2, 3, 7], [2, 3]), ([4], [4])],
)
def test_room_is_made_for_what_one_call_asks_for_and_no_more(samples, first):
    """Answers with a gap between their numbers are asked for in several calls, one at a time."""
    budget = Budget(calls=len(first))
    assert asked(MeteredModel(ShortLLM(), budget), *samples) == first
    assert budget.spent.calls == len(first)
    with pytest.raises(BudgetError, match=rf"{len(first)} calls is reached: {len(first)} calls"):
        asked(MeteredModel(ShortLLM(), budget), 9)


class FailingLLM(FakeLLM):
    """Pays for thoughts, and then fails."""

    async def ask(self, prompt, labels, samples):
        usage = Usage(prompt_tokens=50, answer_tokens=20)
        return [Ballot(prompt.utterance_id, self.name, n, error="no", usage=usage) for n in samples]


def test_what_was_paid_before_a_failure_counts_beside_all_that_the_failed_call_may_cost():
    budget = Budget(tokens=10_000)
    model = FailingLLM()
    asked(MeteredModel(model, budget), 0)
    assert (budget.spent.calls, budget.spent.tokens) == (1, 70 + model.most_answer_tokens("label"))


class PatientLLM(FakeLLM):
    """Sends each call three times; the first two bring nothing."""

    async def ask(self, prompt, labels, samples):
        usage = Usage(prompt_tokens=50, answer_tokens=2, unanswered=2)
        return [Ballot(prompt.utterance_id, self.name, samples[0], usage=usage)]


def test_requests_in_vain_count_with_all_that_they_may_cost():
    budget = Budget(tokens=10_000)
    model = PatientLLM()
    asked(MeteredModel(model, budget), 0)
    most = PROMPT.tokens + model.most_answer_tokens("label")
    assert (budget.spent.calls, budget.spent.tokens) == (1, 52 + 2 * most)


def test_a_model_that_gives_one_answer_a_call_needs_room_for_one():
    budget = Budget(calls=1)
    assert asked(MeteredModel(FakeLLM(), budget), 0, 1, 2) == [0]


def test_answers_that_did_not_come_are_not_counted():
    """What the one cost this model does not say: the most that the call might have cost counts."""
    budget = Budget(calls=3)
    model = MeteredModel(ShortLLM(brings=1), budget)
    assert asked(model, 0, 1, 2) == [0]
    assert budget.spent == Amount(1, 3 * 16, 3 * 0.032)
    assert asked(model, 1, 2) == [1]


@pytest.mark.parametrize(
    ("stopped", "spent"),
    [(NotSentError, Amount()), (asyncio.CancelledError, Amount(1, 16, 0.032))],
)
def test_a_call_that_was_stopped_counts_unless_nothing_of_it_was_sent(stopped, spent):
    budget = Budget(calls=1)
    model = MeteredModel(FakeLLM(fate=(0, stopped())), budget)
    with pytest.raises(asyncio.CancelledError):
        asked(model, 0)
    assert budget.spent == spent


@pytest.mark.parametrize(
    ("said", "spent"), [(["3calls"], Amount(3)), (["2 usd", "40tokens"], Amount(0, 40, 2.0))]
)
def test_a_limit_in_words_lets_just_so_much_through(said, spent):
    budget = read_budget(said)

    async def spend(amount):
        budget.end(await budget.begin(amount), amount)

    asyncio.run(spend(spent))
    for unit, more in [
        ("calls", Amount(1)),
        ("tokens", Amount(0, 1)),
        ("dollars", Amount(0, 0, 1)),
    ]:
        if getattr(spent, unit):
            with pytest.raises(BudgetError):
                asyncio.run(spend(more))
        else:
            asyncio.run(spend(more))


def test_a_kind_of_limit_is_given_once():
    with pytest.raises(SettingsError, match="there is a limit in dollars already"):
        read_budget(["5", "3usd"])


class Slow(FakeLLM):
    async def ask(self, prompt, labels, samples):
        await asyncio.sleep(0.1)
        return await super().ask(prompt, labels, samples)


def test_the_first_call_goes_alone_and_those_that_waited_for_it_go_together():
    class Together(FakeLLM):
        """Answers the first call, and the others once all of them are there."""

        async def ask(self, prompt, labels, samples):
            if self.asked:
                await asyncio.wait_for(others.wait(), 10)
            else:
                await asyncio.sleep(0.01)
            return await super().ask(prompt, labels, samples)

    others = asyncio.Barrier(3)
    model = MeteredModel(Together(), Budget(tokens=10_000))

    async def main():
        return await asyncio.gather(*(model.ask(PROMPT, LABELS, [n]) for n in range(4)))

    assert len(asyncio.run(main())) == 4


def test_who_waits_for_room_hears_of_it_from_another_thread():
    budget = Budget(calls=1)
    held = asyncio.run(budget.begin(Amount(1)))

    async def wait():
        return await budget.begin(Amount(1))

    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(asyncio.run, wait())
        while not budget._waiting and not waiting.done():
            time.sleep(0.001)
        budget.end(held, Amount())
        assert waiting.result(10) is not held


def test_the_first_call_of_an_event_loop_that_stands_still_holds_up_no_other_one():
    model = MeteredModel(Slow(), Budget(tokens=1000))

    async def begin():
        asking = asyncio.create_task(model.ask(PROMPT, LABELS, [0]))
        await asyncio.sleep(0.01)
        return asking

    async def hear(asking):
        return await asyncio.wait_for(asking, 10)

    with asyncio.Runner() as still:
        asking = still.run(begin())
        assert asyncio.run(asyncio.wait_for(model.ask(PROMPT, LABELS, [1]), 10))
        assert still.run(hear(asking))
