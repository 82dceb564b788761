"""Many calls at once at an endpoint that has too much to do, or fails for good."""

import asyncio
import re
import time

import pytest

from ragemo.errors import EndpointError
from ragemo.llm.openai_model import OpenAIModel
from tests.llm.asking import JOY, LABELS, PROMPT, ask, fails

pytestmark = pytest.mark.usefixtures("api_environment")

FULL = {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit"}}


def refused(status=429, **headers):
    return {
        "status": status,
        "body": FULL,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
    }


def asked_in_turn(scenario, prompts, **settings):
    """When each of some prompts was answered, asked one after the other by one model."""
    model = OpenAIModel("some-model", base_url=scenario.url, backoff=0.01, **settings)

    async def work():
        times = []
        for _ in range(prompts):
            (ballot,) = await model.ask(PROMPT, LABELS, (0,))
            assert ballot.distribution == JOY
            times.append(time.monotonic())
        await model.close()
        return times

    return asyncio.run(work())


class TestItsOwnWords:
    def test_one_refusal_holds_back_all_calls(self, scenario):
        """The others are sent when the pause is over, and none of them is refused."""
        scenario.script(refused(retry_after="0.7"))
        started = time.monotonic()
        ballots, _ = ask(scenario, prompts=12, concurrency=1)
        assert [ballot.distribution for ballot in ballots] == [JOY] * 12
        assert time.monotonic() - started >= 0.7
        assert len(scenario.seen) == 13

    def test_refusals_that_say_when_to_come_back_are_not_counted(self, scenario):
        scenario.script(*[refused(retry_after="0.05")] * 6)
        (ballot,), _ = ask(scenario, attempts=2)
        assert ballot.distribution == JOY
        assert len(scenario.seen) == 7

    @pytest.mark.parametrize("kind", ["requests", "tokens"])
    def test_an_answer_that_leaves_nothing_holds_back_the_next_call(self, scenario, kind):
        step = refused(
            status=200,
            **{f"x_ratelimit_remaining_{kind}": "0", f"x_ratelimit_reset_{kind}": "600ms"},
        )
        answer = {"choices": [{"finish_reason": "stop", "message": {"content": "joy"}}]}
        scenario.script(step | {"body": answer})
        first, second = asked_in_turn(scenario, 2)
        assert second - first >= 0.55
        assert len(scenario.seen) == 2

    def test_a_refusal_without_retry_after_waits_for_the_reset(self, scenario):
        headers = {"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "500ms"}
        scenario.script(refused(**headers))
        started = time.monotonic()
        (ballot,), _ = ask(scenario)
        assert ballot.distribution == JOY
        assert time.monotonic() - started >= 0.5

    def test_refusals_lower_the_number_of_calls_in_flight(self, scenario):
        scenario.script(*[refused(503)] * 8)
        ballots, _ = ask(scenario, prompts=40, attempts=9)
        assert [ballot.distribution for ballot in ballots] == [JOY] * 40
        assert len(scenario.seen) == 48


class TestOwnLimits:
    def test_requests_a_minute(self, scenario):
        """120 a minute are 2 a second: two at once, and the others half a second apart."""
        started = time.monotonic()
        ballots, _ = ask(scenario, prompts=4, requests_per_minute=120)
        assert time.monotonic() - started >= 0.95
        assert len(ballots) == len(scenario.seen) == 4

    def test_the_prompt_and_the_room_for_the_answer_count(self, scenario):
        """56 tokens each (40, and room for 16), 60 a second."""
        started = time.monotonic()
        ask(scenario, prompts=3, tokens_per_minute=3_600)
        assert time.monotonic() - started >= 1.7


class TestDeadline:
    def test_it_ends_a_call_whatever_it_waits_for(self, scenario):
        scenario.script(*[{"sleep": 0.3, "status": 500, "body": {"error": "broken"}}] * 99)
        (ballot,), _ = ask(scenario, deadline=0.8, attempts=99)
        assert ballot.failed
        assert len(scenario.seen) < 5

    def test_it_says_what_came_before(self, scenario):
        scenario.script({"status": 500, "body": {"error": "broken"}}, {"sleep": 2})
        (ballot,), _ = ask(scenario, deadline=0.8)
        assert re.search(r"within 0\.8 s.*llm\.deadline.*HTTP 500.*broken", ballot.error)

    def test_a_wait_that_would_go_past_it_is_not_begun(self, scenario):
        scenario.script(refused(retry_after="100"))
        (ballot,), _ = ask(scenario, deadline=50)
        # Who had waited would be told of the deadline.
        assert ballot.failed
        assert "llm.deadline" not in ballot.error
        assert len(scenario.seen) == 1

    def test_waiting_for_a_turn_is_not_counted(self, scenario):
        scenario.script(*[{"sleep": 0.5, "ok": True}] * 6)
        ballots, _ = ask(scenario, prompts=6, concurrency=1, deadline=2.5)
        assert [ballot.distribution for ballot in ballots] == [JOY] * 6


class TestGivingUp:
    def test_after_so_many_failures_in_a_row_no_more_is_sent(self, scenario):
        scenario.script(*[{"status": 500, "body": {"error": "on fire"}}] * 99)
        error = fails(scenario, prompts=30, concurrency=1, attempts=1, give_up_after=4)
        assert error.retryable
        assert re.search(r"4 calls in a row .*HTTP 500 .*on fire.*--resume", str(error))
        assert len(scenario.seen) == 4

    def test_an_answer_in_between_starts_the_count_anew(self, scenario):
        bad = {"status": 500, "body": {}}
        scenario.script(bad, bad, {"ok": True}, bad, bad, {"ok": True})
        ballots, _ = ask(scenario, prompts=6, concurrency=1, attempts=1, give_up_after=3)
        assert [ballot.failed for ballot in ballots] == [True, True, False, True, True, False]

    def test_calls_in_flight_are_not_thrown_away(self, scenario):
        """Eight are sent at once; one is slow, and its answer comes before the run ends."""
        slow = {"sleep": 0.5, "ok": True}
        scenario.script(slow, *[{"status": 500, "body": {}}] * 99)
        model = OpenAIModel(
            "some-model", base_url=scenario.url, backoff=0.01, attempts=1, give_up_after=3
        )
        ends = []

        async def one():
            try:
                (ballot,) = await model.ask(PROMPT, LABELS, (0,))
                ends.append("answered" if ballot.distribution else "failed")
            except EndpointError:
                ends.append("given up")

        async def work():
            await asyncio.gather(*(one() for _ in range(20)))
            await model.close()

        asyncio.run(work())
        assert ends.count("answered") == 1
        assert ends.index("answered") < ends.index("given up")
        # The first two that failed made room for two more.
        assert 4 <= len(scenario.seen) <= 10, "those that were in flight, and no other"

    def test_it_can_be_asked_again_later(self, scenario):
        scenario.script(*[{"status": 500, "body": {}}] * 2)
        model = OpenAIModel(
            "some-model", base_url=scenario.url, backoff=0.01, attempts=1, give_up_after=2
        )

        async def work():
            await model.ask(PROMPT, LABELS, (0,))
            with pytest.raises(EndpointError):
                await model.ask(PROMPT, LABELS, (0,))
            await model.close()
            ballots = await model.ask(PROMPT, LABELS, (0,))
            await model.close()
            return ballots

        (ballot,) = asyncio.run(work())
        assert ballot.distribution == JOY
