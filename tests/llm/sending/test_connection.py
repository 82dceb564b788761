"""Requests that fail in passing, or find nobody."""

import asyncio
import email.utils
import gc
import json
import re
import socket
import time

import pytest

from ragemo.errors import EndpointError
from ragemo.llm.sending.connection import Connection, NotSentError
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.faults import CallError
from ragemo.llm.sending.pace import Limits
from tests.llm.asking import JOY, KEY, ask

OPENAI_429 = {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit"}}

pytestmark = pytest.mark.usefixtures("api_environment")


class TestPassingFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 429, "body": OPENAI_429},
            {"status": 429, "body": OPENAI_429, "headers": {"retry-after": "soon"}},
            {"status": 429, "body": OPENAI_429, "headers": {"retry-after": "-5"}},
            {"status": 429, "body": OPENAI_429, "headers": {"retry-after": "nan"}},
            {"status": 408},
            {"status": 500, "body": {"error": {"message": "The server had an error"}}},
            {"status": 503, "body": "<html><a href=schema.org>grammar</a></html>"},
            {"status": 502, "body": "<!DOCTYPE html>", "type": "text/html"},
            {"status": 529, "body": ""},
            {"reset": True},
            {"cut": 20},
            {"status": 200, "body": '{"choices": [{"mess'},
            {"status": 200, "body": "<html>Please log in</html>", "type": "text/html"},
            {"status": 200, "body": {"error": {"message": "upstream is busy", "code": 502}}},
            {"status": 200, "body": "null"},
            {"status": 200, "body": ""},
        ],
        ids=lambda fault: json.dumps(fault)[:60],
    )
    def test_it_is_tried_again(self, scenario, fault):
        scenario.script(fault, fault)
        (ballot,), model = ask(scenario)
        assert ballot.distribution == JOY
        assert len(scenario.seen) == 3
        assert model.capabilities.constraint == "grammar", "a passing fault teaches nothing"

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            ({"status": 429, "body": OPENAI_429}, "HTTP 429 .*Rate limit reached"),
            ({"status": 503, "body": "<html>x</html>", "type": "text/html"}, "503 .*HTML page"),
            ({"status": 500, "body": {"error": f"bad key {KEY}"}}, r"500 .*bad key \[secret\]"),
            ({"reset": True}, "connection .* broke"),
            ({"cut": 20}, "JSON|no chat completion"),
            ({"status": 200, "body": {"error": {"message": "busy"}}}, "no chat completion: .*busy"),
            ({"sleep": 0.6}, r"did not answer within 0\.2 s"),
            ({"trickle": 0.6}, r"did not answer within 0\.2 s"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_after_some_attempts_the_ballot_fails(self, scenario, fault, says):
        scenario.script({"ok": True}, *[fault] * 9)
        ask(scenario)  # the endpoint has answered before
        late = {"sleep", "trickle"} & set(fault)
        (ballot, other), _ = ask(scenario, (3, 4), timeout=0.2 if late else 5.0, attempts=2)
        assert ballot.failed
        assert not ballot.invalid
        assert ballot.distribution is None
        assert (ballot.sample, other.sample) == (3, 4)
        assert ballot.error == other.error
        assert re.search(says, ballot.error)
        assert "\n" not in ballot.error
        assert len(scenario.seen) == 3
        assert ballot.usage.seconds > 0

    def test_a_slow_answer_is_given_up_and_asked_for_again(self, scenario):
        scenario.script({"sleep": 1.0}, {"trickle": 1.0})
        (ballot,), _ = ask(scenario, timeout=0.4)
        assert ballot.distribution == JOY
        assert len(scenario.seen) == 3

    @pytest.mark.parametrize(
        ("faults", "lost"),
        [
            ([{"sleep": 1.0}, {"reset": True}, {"cut": 20}], 3),
            ([{"status": 500}, {"trickle": 1.0}, {"status": 429}], 1),
        ],
    )
    def test_what_was_sent_in_vain_is_told(self, scenario, faults, lost):
        scenario.script(*faults)
        (first, second), _ = ask(scenario, (0, 1), timeout=0.4, attempts=4)
        assert first.usage.unanswered + second.usage.unanswered == lost
        scenario.script({"ok": True}, *faults)
        (_, failed), _ = ask(scenario, prompts=2, timeout=0.4, attempts=3, concurrency=1)
        assert failed.failed
        assert failed.usage.unanswered == lost

    def test_so_is_what_the_deadline_cuts_short(self, scenario):
        scenario.script({"ok": True}, {"reset": True}, {"sleep": 2.0})
        (_, failed), _ = ask(scenario, prompts=2, deadline=0.5, concurrency=1)
        assert "llm.deadline" in failed.error
        assert failed.usage.unanswered == 2

    @pytest.mark.parametrize("form", ["seconds", "date"])
    def test_retry_after_is_waited_for(self, scenario, form):
        started = time.monotonic()
        # A date has no fractions of a second: 2 s ahead is at least 1 s from now.
        date = email.utils.formatdate(time.time() + 2, usegmt=True)
        seconds = "0.5" if form == "seconds" else date
        fault = {"status": 429, "body": OPENAI_429, "headers": {"retry-after": seconds}}
        scenario.script(fault)
        (ballot,), _ = ask(scenario)
        assert ballot.distribution == JOY
        assert time.monotonic() - started >= 0.5
        assert len(scenario.seen) == 2

    @pytest.mark.parametrize("status", [500, 503])
    def test_a_limit_that_is_not_the_reason_does_not_end_a_call(self, scenario, status):
        limits = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "10m"}
        scenario.script({"status": status, "headers": limits})
        (ballot,), _ = ask(scenario)
        assert ballot.distribution == JOY

    def test_a_limit_that_is_does(self, scenario):
        limits = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "10m"}
        scenario.script({"status": 429, "body": OPENAI_429, "headers": limits})
        (ballot,), _ = ask(scenario)
        assert "wait for 600 s" in ballot.error

    def test_nobody_waits_for_an_hour(self, scenario):
        fault = {"status": 429, "body": OPENAI_429, "headers": {"retry-after": "3600"}}
        scenario.script(fault)
        (ballot,), _ = ask(scenario)
        assert ballot.failed
        assert "3600 s" in ballot.error
        assert len(scenario.seen) == 1


REQUEST = {
    "model": "some-model",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 1,
}


def one_at_a_time(scenario, *, attempts):
    return Connection(
        Endpoint("some-model", scenario.url, KEY),
        limits=Limits(concurrency=1),
        timeout=10.0,
        deadline=10.0,
        attempts=attempts,
        backoff=0.01,
    )


@pytest.mark.filterwarnings("ignore:.*[uU]nclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_event_loops_need_not_close_it_before_another_one_asks(scenario):
    connection = one_at_a_time(scenario, attempts=1)

    async def asked(times):
        return [await connection.complete(REQUEST, tokens=1) for _ in range(times)]

    with asyncio.Runner() as still:
        answers = [still.run(asked(2)), asyncio.run(asked(2)), asyncio.run(asked(2))]
        answers.append(still.run(asked(1)))
        assert [len(some) for some in answers] == [2, 2, 2, 1]
        still.run(connection.close())
    assert len(scenario.seen) == 7
    gc.collect()  # what is warned of here was not closed here


def test_a_call_that_waits_for_its_next_try_opens_what_was_closed_meanwhile(scenario):
    scenario.script({"status": 500})
    connection = one_at_a_time(scenario, attempts=2)
    waiting = []
    connection._wait = lambda state: waiting.append(state) or 0.3

    async def asked():
        asking = asyncio.create_task(connection.complete(REQUEST, tokens=1))
        while not waiting:
            await asyncio.sleep(0)
        await connection.close()
        try:
            return (await asking).completion
        finally:
            await connection.close()

    assert asyncio.run(asked())["choices"]
    assert len(scenario.seen) == 2


def test_only_a_call_of_which_nothing_was_sent_says_so_when_all_is_stopped(scenario):
    """One at a time: the first fails in passing, and waits with the third until the second ends."""
    scenario.script({"status": 500}, {"sleep": 1.5})

    async def calls():
        connection = one_at_a_time(scenario, attempts=3)

        async def outcome():
            try:
                return await connection.complete(REQUEST, tokens=1)
            except asyncio.CancelledError as stopped:  # a task would forget which one it was
                return stopped

        many = asyncio.gather(*(outcome() for _ in range(3)))
        while len(scenario.seen) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        connection.pace.stop()
        try:
            return await many
        finally:
            await connection.close()

    again, answered, waiting = asyncio.run(calls())
    assert type(again) is asyncio.CancelledError
    assert answered.completion["choices"]
    assert type(waiting) is NotSentError
    assert len(scenario.seen) == 2


@pytest.mark.parametrize("stopped", [True, False])
def test_who_is_cancelled_while_another_call_is_in_flight(scenario, stopped):
    """One at a time: a second call waits, and its own time is over, as it is when all is stopped
    and what is in flight does not land."""
    scenario.script({"sleep": 3})

    async def calls():
        connection = one_at_a_time(scenario, attempts=1)

        async def waiting():
            try:
                async with asyncio.timeout(1.0):
                    await connection.complete(REQUEST, tokens=1)
            except (asyncio.CancelledError, TimeoutError) as error:
                return type(error)

        flying = asyncio.create_task(connection.complete(REQUEST, tokens=1))
        while not scenario.seen:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(waiting())
        await asyncio.sleep(0.1)
        if stopped:
            connection.pace.stop()
        outcome = await second
        flying.cancel()
        await asyncio.wait([flying])
        await connection.close()
        return outcome

    assert asyncio.run(calls()) is (NotSentError if stopped else TimeoutError)


class Raw:
    """A server of a single reply, whatever it is, once so many requests have come."""

    def __init__(self, reply, together=1):
        self.reply, self.together = reply, together
        self.here = 0

    async def talk(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        self.here += 1
        while self.here < self.together:
            await asyncio.sleep(0.01)
        writer.write(self.reply)
        await writer.drain()
        writer.close()

    async def call(self, request, *, times=1):
        """What comes of it, so often at once."""
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        connection = Connection(
            Endpoint("some-model", address, KEY),
            limits=Limits(),
            timeout=10.0,
            deadline=10.0,
            attempts=1,
            backoff=0.01,
        )
        try:
            many = (connection.call(request) for _ in range(times))
            return await asyncio.gather(*many, return_exceptions=True)
        finally:
            await connection.close()
            server.close()


def head(*lines):
    return "\r\n".join(
        ["HTTP/1.1 200 OK", "content-type: application/json", *lines, "", ""]
    ).encode()


class TestWhatIsNoResponse:
    @pytest.mark.parametrize(
        "reply",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"",
            head("content-length: 500") + b'{"data": [',
            head("transfer-encoding: chunked") + b'zz\r\n{"data": []}',
            head("content-length: 5", "content-encoding: gzip") + b"hello",
            head(f"x: {'a' * 20_000}", "content-length: 2") + b"{}",
        ],
        ids=["another protocol", "nothing", "cut off", "no chunk", "not packed", "a long header"],
    )
    def test_the_connection_broke(self, reply):
        (error,) = asyncio.run(Raw(reply).call(lambda client: client.models.list()))
        assert isinstance(error, CallError)
        assert re.search("connection to http://127.* broke: .", str(error))
        assert error.transient
        assert not error.unreachable
        assert KEY not in str(error)

    def test_calls_in_flight_have_a_connection_each(self):
        """More than the hundred that HTTP clients usually open."""
        body = b'{"object": "list", "data": []}'
        server = Raw(head(f"content-length: {len(body)}", "connection: close") + body, together=130)
        pages = asyncio.run(server.call(lambda client: client.models.list(), times=130))
        assert [page.data for page in pages] == [[]] * 130


class TestNoConnection:
    def test_a_server_that_is_not_there(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))  # and never listens
            address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
            with pytest.raises(EndpointError, match="cannot connect") as caught:
                ask(None, base_url=address, attempts=2)
        assert caught.value.retryable
        message = f"cannot connect to {address}: Connection refused; does the server run?"
        assert message in str(caught.value)

    def test_a_server_that_does_not_accept(self):
        """As behind a firewall that drops what comes: the queue of connections is full."""
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for other in (first, second):
                other.setblocking(False)
                other.connect_ex(full.getsockname())
            address = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
            with pytest.raises(EndpointError, match="cannot connect"):
                ask(None, base_url=address, attempts=2, timeout=0.6)
