"""Requests after the first are like it, and what comes of them means the same."""

import asyncio
import json
import re
import ssl
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import anyio
import httpx2
import openai
import pytest

from ragemo.llm.connection import Connection
from ragemo.llm.endpoint import Endpoint
from ragemo.llm.pace import Limits
from ragemo.llm.posting import Posting
from tests.llm.asking import KEY

pytestmark = pytest.mark.usefixtures("api_environment")

ANSWER = {"choices": [{"message": {"content": "joy"}}]}


def completed(url, *requests, attempts=1, timeout=5.0):
    """What comes of requests for completions, one after the other, over one connection."""
    connection = Connection(
        Endpoint("some-model", url, KEY),
        limits=Limits(give_up_after=None),
        timeout=timeout,
        deadline=30.0,
        attempts=attempts,
        backoff=0.01,
    )

    async def work():
        outcomes = []
        try:
            for request in requests:
                try:
                    outcomes.append((await connection.complete(request, tokens=1))[0])
                except Exception as error:
                    outcomes.append(error)
        finally:
            await connection.close()
        return outcomes

    return asyncio.run(work())


def question(text):
    messages = [{"role": "user", "content": text}]
    return {"model": "some-model", "messages": messages, "max_tokens": 16}


@contextmanager
def recording(*, moved=False, bakes=False):
    """A server's URL, and the requests that it has met: path, headers, body.

    Args:
        moved: whether it sends who asks elsewhere.
        bakes: whether each answer brings a cookie.
    """
    met = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            met.append((self.path, dict(self.headers), json.loads(body)))
            away = moved and not self.path.startswith("/elsewhere")
            data = b"" if away else json.dumps(ANSWER).encode()
            self.send_response(307 if away else 200)
            self.send_header("content-length", str(len(data)))
            if bakes:
                self.send_header("set-cookie", f"number={len(met)}")
            if away:
                self.send_header("location", f"/elsewhere{self.path}")
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}/v1", met
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("login", ["", "somebody:secret@"])
def test_they_differ_in_their_body_alone(login):
    with recording() as (place, met):
        texts = ["one", "zwei \u00e4\U0001f600", "three is longer"]
        assert completed(f"http://{login}{place}", *map(question, texts)) == [ANSWER] * 3
    assert [body["messages"][0]["content"] for _, _, body in met] == texts
    assert {path for path, _, _ in met} == {"/v1/chat/completions"}
    first, *others = [
        {name.lower(): value for name, value in headers.items()} for _, headers, _ in met
    ]
    assert first["authorization"].startswith("Basic " if login else f"Bearer {KEY}")
    for headers in others:
        assert {**headers, "content-length": ""} == {**first, "content-length": ""}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_cookies_are_those_of_the_answer_before(host):
    """Balancers of load may know by them whom to ask again."""
    with recording(bakes=True) as (place, met):
        place = place.replace("127.0.0.1", host)
        assert completed(f"http://{place}", *map(question, "abc")) == [ANSWER] * 3
    sent = [{name.lower(): value for name, value in headers.items()} for _, headers, _ in met]
    assert [headers.get("cookie") for headers in sent] == [None, "number=1", "number=2"]


def test_an_endpoint_that_has_moved_is_followed_each_time():
    with recording(moved=True) as (place, met):
        assert completed(f"http://{place}", question("one"), question("two")) == [ANSWER] * 2
    assert [path for path, _, _ in met] == [
        "/v1/chat/completions",
        "/elsewhere/v1/chat/completions",
    ] * 2
    assert [body["messages"][0]["content"] for _, _, body in met] == ["one", "one", "two", "two"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "body": {"error": {"message": "too long", "param": "messages"}}},
        {"status": 400, "body": {"error": {"message": "?", "code": "model_not_found"}}},
        {"status": 401, "body": {"error": {"message": f"Incorrect API key provided: {KEY}"}}},
        {"status": 404, "body": {"detail": "Not Found"}},
        {"status": 422, "body": {"detail": [{"loc": ["body", "n"], "msg": "not a number"}]}},
        {"status": 429, "body": {"error": {"message": "quota", "code": "insufficient_quota"}}},
        {"status": 429, "body": {"error": {"message": "busy"}}},
        {"status": 500, "body": "[" * 100_000},
        {"status": 503, "body": "<html>x</html>", "type": "text/html"},
        {"status": 503, "body": ""},
        {"status": 500, "body": ["an", "array"]},
        {"status": 300, "body": ""},
        {"status": 200, "body": "<html>Please log in</html>", "type": "text/html"},
        {"status": 200, "body": {"error": {"message": "upstream is busy"}}},
        {"reset": True},
        {"cut": 20},
        {"cut": 20, "torn": True},
        {"sleep": 0.6},
        {"trickle": 0.6},
    ],
    ids=lambda fault: json.dumps(fault)[:60],
)
def test_a_fault_means_the_same_for_the_first_and_for_a_later_one(scenario, fault):
    timeout = 0.2 if {"sleep", "trickle"} & set(fault) else 5.0
    scenario.script(fault)
    (first,) = completed(scenario.url, question("one"), timeout=timeout)
    scenario.script({"ok": True}, fault, {"ok": True})
    answer, later, last = completed(scenario.url, *map(question, "abc"), timeout=timeout)
    assert isinstance(answer, dict)
    assert isinstance(first, Exception)
    assert type(later) is type(first)
    # How much of a torn answer was received is chance.
    one, other = (re.sub(r"received \d+", "", str(error)) for error in (first, later))
    assert one == other
    told = ("transient", "wait", "busy", "complaint", "unreachable", "retryable")
    assert [getattr(later, name, None) for name in told] == [
        getattr(first, name, None) for name in told
    ]
    assert KEY not in str(later)
    # An endpoint that refuses every call is asked no more.
    assert isinstance(last, dict) or last is later


@pytest.mark.parametrize(
    ("cause", "meant"),
    [
        (ssl.SSLError("bad record"), openai.APIConnectionError),
        (anyio.EndOfStream(), openai.APIConnectionError),
        (httpx2.ReadError("gone"), openai.APIConnectionError),
        (httpx2.ReadTimeout("late"), openai.APITimeoutError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_connection_that_breaks_is_one_of_the_clients_errors(cause, meant):
    class Client:
        async def post(self, path, *, cast_to, content):
            request = httpx2.Request("POST", f"http://127.0.0.1{path}", content=content)
            return httpx2.Response(200, request=request)

    class Http:
        cookies = httpx2.Cookies()

        async def send(self, request):
            raise cause

    async def twice():
        posting = Posting(Client(), Http(), "/chat/completions")
        assert (await posting.post(b"{}")).is_success
        await posting.post(b"{}")

    with pytest.raises(meant) as caught:
        asyncio.run(twice())
    assert caught.value.__cause__ is cause
