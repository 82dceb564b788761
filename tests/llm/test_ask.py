"""Many inquiries at once: as many prompts in flight as a model takes, and no answer lost."""

import asyncio
import signal
import threading
import time

import pytest

from ragemo.errors import EndpointError
from ragemo.llm.ask import LAST_CALLS, _ask_all, ask_all
from ragemo.llm.budget import BudgetError
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.pace import Limits, pace_of
from ragemo.types import Ballot, Prompt
from tests.conftest import LABELS

ENDPOINT = Endpoint("m", "http://localhost:1/v1", "")


class Steps:
    """An inquiry of so many steps, each asking a model for one sample."""

    def __init__(self, name, models):
        self.name = name
        self.models = list(enumerate(models))
        self.heard = []

    def next(self):
        if not self.models:
            return None
        sample, model = self.models.pop(0)
        return model, Prompt(self.name, (), 1), [sample]

    def hear(self, ballots):
        self.heard += ballots
        return ballots


class Model:
    """Remembers how many prompts were in flight at once."""

    def __init__(self, name, concurrency, fault=None):
        self.name = name
        self.concurrency = concurrency
        self.fault = fault
        self.asked = []
        self.flying = self.most = self.closed = 0

    async def ask(self, prompt, labels, samples):
        if self.fault is not None and len(self.asked) == self.fault[0]:
            raise self.fault[1]
        self.asked.append((prompt.utterance_id, *samples))
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(0.001)
        self.flying -= 1
        return [Ballot(prompt.utterance_id, self.name, sample) for sample in samples]

    async def close(self):
        self.closed += 1


def test_each_model_has_as_many_prompts_in_flight_as_it_takes():
    many, few = Model("many", 6), Model("few", 2)
    inquiries = [Steps(f"u{number}", [many, few, many]) for number in range(20)]
    stored, done = [], []
    ask_all(inquiries, [many, few], LABELS, stored.extend, done.append)
    assert (many.most, few.most) == (6, 2)
    assert (many.closed, few.closed) == (1, 1)
    assert len(done) == 20
    assert sorted(b.key for b in stored) == sorted(
        b.key for inquiry in inquiries for b in inquiry.heard
    )
    assert len(stored) == 60


def test_the_steps_of_one_inquiry_wait_for_each_other_and_for_the_disk():
    model = Model("m", 4)
    inquiries = [Steps(f"u{number}", [model] * 3) for number in range(8)]
    stored = []

    def store(ballots):
        time.sleep(0.001)
        stored.extend(ballots)

    ask_all(inquiries, [model], LABELS, store)
    for inquiry in inquiries:
        own = [b.sample for b in stored if b.utterance_id == inquiry.name]
        assert own == [0, 1, 2] == [b.sample for b in inquiry.heard]
    # Begun in order.
    assert [name for name, sample in model.asked if sample == 0] == [i.name for i in inquiries]


def test_what_came_before_a_refusal_is_stored_and_connections_are_closed():
    model = Model("m", 1, fault=(5, EndpointError("no credit left")))
    stored = []
    with pytest.raises(EndpointError, match="no credit left"):
        ask_all([Steps(f"u{n}", [model] * 2) for n in range(9)], [model], LABELS, stored.extend)
    assert [(b.utterance_id, b.sample) for b in stored] == model.asked
    assert len(stored) == 5
    assert model.closed == 1


class Broken(Model):
    """Fails on its second call, while the others are under way for so long."""

    seconds = 0.05

    async def ask(self, prompt, labels, samples):
        self.asked.append(prompt.utterance_id)
        if len(self.asked) == 2:
            await asyncio.sleep(0.01)
            raise EndpointError("no credit left")
        await asyncio.sleep(self.seconds)
        return [Ballot(prompt.utterance_id, self.name, samples[0])]


def test_calls_under_way_when_something_fails_are_waited_for_and_no_others_begun():
    model, stored = Broken("m", 4), []
    with pytest.raises(EndpointError, match="no credit left"):
        ask_all([Steps(f"u{n}", [model] * 2) for n in range(9)], [model], LABELS, stored.extend)
    assert model.asked == ["u0", "u1", "u2", "u3"]
    assert sorted(b.utterance_id for b in stored) == ["u0", "u2", "u3"]
    assert model.closed == 1


def test_calls_that_hang_when_something_fails_are_given_up(monkeypatch):
    monkeypatch.setattr("ragemo.llm.ask.LAST_CALLS", 0.02)
    model = Broken("m", 4)
    model.seconds = 1000
    with pytest.raises(EndpointError, match="no credit left"):
        ask_all([Steps(f"u{n}", [model]) for n in range(9)], [model], LABELS, list)
    assert model.closed == 1


def test_an_answer_that_cannot_be_stored_stops_everything():
    model = Model("m", 2)

    def full(ballots):
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        ask_all([Steps(f"u{n}", [model]) for n in range(50)], [model], LABELS, full)
    assert len(model.asked) <= 8  # as many wait for the disk as ask
    assert model.closed == 1


class AtAnEndpoint(Model):
    """Its calls wait for their turn at an endpoint that takes two at once, for so long."""

    seconds = 0.05

    async def ask(self, prompt, labels, samples):
        pace = pace_of(ENDPOINT, Limits(concurrency=2))
        flight = await pace.begin(pace.number(), 1)
        self.asked.append(prompt.utterance_id)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            pace.end(flight)
        return [Ballot(prompt.utterance_id, self.name, sample) for sample in samples]


def test_an_answer_that_cannot_be_stored_lets_no_call_begin_that_waits_for_its_turn():
    model = AtAnEndpoint("m", 8)

    def full(ballots):
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        ask_all([Steps(f"u{n}", [model]) for n in range(50)], [model], LABELS, full)
    assert len(model.asked) <= 6  # the next ones begin while the disk is tried


def test_what_waits_for_its_turn_when_a_budget_is_reached_is_within_it():
    class Metered(AtAnEndpoint):
        begun = 0

        async def ask(self, prompt, labels, samples):
            self.begun += 1
            if self.begun > 6:
                raise BudgetError("reached")
            return await super().ask(prompt, labels, samples)

    model, stored = Metered("m", 8), []
    with pytest.raises(BudgetError):
        ask_all([Steps(f"u{n}", [model]) for n in range(50)], [model], LABELS, stored.extend)
    assert len(model.asked) == len(stored) == 6


@pytest.mark.parametrize(("last_calls", "kept"), [(10, 2), (0.02, 0)])
def test_when_it_is_interrupted_calls_under_way_land(monkeypatch, last_calls, kept):
    monkeypatch.setattr("ragemo.llm.ask.LAST_CALLS", last_calls)
    monkeypatch.setattr("ragemo.llm.ask.SETTLING", 0.1)
    model, stored, said = AtAnEndpoint("m", 8), [], []
    model.seconds = 0.4

    async def main():
        inquiries = [Steps(f"u{n}", [model]) for n in range(20)]
        task = asyncio.create_task(
            _ask_all(inquiries, [model], LABELS, stored.extend, print, say=said.append)
        )
        asyncio.get_running_loop().call_later(0.2, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert len(model.asked) == 2
    assert len(stored) == kept
    assert "calls under way: 2" in said[0]
    assert model.closed == 1


def test_nothing_to_ask_asks_nobody():
    model = Model("m", 2)
    ask_all([], [model], LABELS, list)
    ask_all([Steps("u", [])], [model], LABELS, list)
    assert model.asked == []


def test_inside_another_event_loop_it_has_one_of_its_own():
    model = Model("m", 2)

    async def cell():
        ask_all([Steps("u", [model] * 2)], [model], LABELS, stored.extend)

    stored = []
    asyncio.run(cell())
    assert len(stored) == 2


@pytest.mark.parametrize("full", [False, True])
def test_so_it_has_its_own_interrupt(full):
    """As in a notebook: another thread asks, and Ctrl-C comes to this one.

    That an answer could not be stored thereafter is told as in a script.
    """
    here = threading.main_thread().ident

    class Interrupting(Model):
        async def ask(self, prompt, labels, samples):
            if len(self.asked) == 20:
                signal.pthread_kill(here, signal.SIGINT)
            return await super().ask(prompt, labels, samples)

    def store(ballots):
        if full and len(model.asked) > 20:
            raise OSError("the disk is full")

    async def cell():
        ask_all([Steps(f"u{n}", [model]) for n in range(20_000)], [model], LABELS, store)

    model = Interrupting("m", 2)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(OSError if full else KeyboardInterrupt):
            loop.run_until_complete(cell())
    finally:
        signal.signal(signal.SIGINT, before)
        loop.close()
    assert 20 < len(model.asked) < 20_000
    assert model.closed == 1


def test_and_a_second_interrupt_waits_for_nothing():
    """The call under way would take an hour; Ctrl-C comes twice to the thread that waits."""
    here = threading.main_thread().ident

    class Slow(AtAnEndpoint):
        seconds = 3600

    def interrupt():
        for sign in (model.asked, said):  # of the call, and of the first interrupt
            while not sign:
                if over.wait(0.01):
                    return
            signal.pthread_kill(here, signal.SIGINT)

    async def cell():
        ask_all([Steps("u", [model])], [model], LABELS, list, say=said.append)

    model, said, over = Slow("m", 1), [], threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    loop = asyncio.new_event_loop()
    began = time.monotonic()
    other = threading.Thread(target=interrupt, daemon=True)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell())
    finally:
        over.set()
        other.join()
        signal.signal(signal.SIGINT, before)
        loop.close()
    assert time.monotonic() - began < LAST_CALLS / 2
    assert model.closed == 1


def test_a_model_that_never_waits_can_be_interrupted():
    class Local(Model):
        async def ask(self, prompt, labels, samples):
            self.asked.append(prompt.utterance_id)
            if len(self.asked) == 3:
                asyncio.get_running_loop().call_soon(task.cancel)
            return []

    async def main():
        nonlocal task
        inquiries = [Steps(f"u{n}", [model]) for n in range(20)]
        task = asyncio.create_task(_ask_all(inquiries, [model], LABELS, list, print, say=print))
        with pytest.raises(asyncio.CancelledError):
            await task

    task = None
    model = Local("m", 1)
    asyncio.run(main())
    assert len(model.asked) < 6
    assert model.closed == 1
