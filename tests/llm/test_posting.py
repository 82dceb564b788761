"""Requests after the first are like it, and what comes of them means the same."""

import asyncio
import gzip
import json
import re
import ssl
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import trustme

from ragemo.llm.connection import Connection
from ragemo.llm.endpoint import Endpoint
from ragemo.llm.pace import Limits
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
def recording(
    *, moved=False, bakes=False, compresses=False, status=200, said=ANSWER, tls=None, then=None
):
    """A server's place, and the requests that it has met: path, headers, body.

    Args:
        moved: whether it sends who asks elsewhere.
        bakes: whether each answer brings a cookie.
        compresses: whether answers are.
        status: of each.
        said: in each.
        tls: how connections are encrypted; None: they are not.
        then: the same, once it has answered.
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
            data = b"" if away else json.dumps(said).encode()
            self.send_response(307 if away else status)
            if compresses:
                data = gzip.compress(data)
                self.send_header("content-encoding", "gzip")
            self.send_header("content-length", str(len(data)))
            if bakes:
                self.send_header("set-cookie", f"number={len(met)}")
            if away:
                self.send_header("location", f"/elsewhere{self.path}")
            self.end_headers()
            self.wfile.write(data)

    class Server(ThreadingHTTPServer):
        def get_request(self):
            plain, address = super().get_request()
            shown = then if met and then else tls
            return shown.wrap_socket(plain, server_side=True) if shown else plain, address

        def handle_error(self, request, client_address):
            pass

    server = Server(("127.0.0.1", 0), Handler)
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


@pytest.mark.parametrize("status", [200, 400])
def test_a_compressed_answer_is_read(status):
    said = ANSWER if status == 200 else {"error": {"message": "the prompt is too long"}}
    with recording(compresses=True, status=status, said=said) as (place, met):
        outcomes = completed(f"http://{place}", *map(question, "abc"))
    offered = [
        value
        for _, headers, _ in met
        for name, value in headers.items()
        if name.lower() == "accept-encoding"
    ]
    assert len(offered) == 3
    assert all("gzip" in value for value in offered)
    if status == 200:
        assert outcomes == [ANSWER] * 3
    else:
        assert ["the prompt is too long" in str(outcome) for outcome in outcomes] == [True] * 3


def test_a_proxy_is_asked_each_time(monkeypatch):
    with recording() as (place, met):
        monkeypatch.setenv("http_proxy", f"http://{place.removesuffix('/v1')}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        asked = completed("http://endpoint.invalid/v1", *map(question, "abc"))
    assert asked == [ANSWER] * 3
    assert {path for path, _, _ in met} == {"http://endpoint.invalid/v1/chat/completions"}


def test_no_proxy_is_asked_where_none_is_wanted(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with recording() as (place, met):
        assert completed(f"http://{place}", *map(question, "abc")) == [ANSWER] * 3
    assert len(met) == 3


@pytest.mark.parametrize("trusted", [True, False])
def test_certificates_are_looked_at(trusted, monkeypatch, tmp_path):
    """Those that SSL_CERT_FILE names are trusted, as by the client, for every request."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.delenv("SSL_CERT_DIR")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (authority if trusted else trustme.CA()).issue_cert("127.0.0.1").configure_cert(tls)
    with recording(tls=tls) as (place, met):
        outcomes = completed(f"https://{place}", *map(question, "abc"))
    if trusted:
        assert outcomes == [ANSWER] * 3
    else:
        assert not met
        assert all("certificate verify failed" in str(outcome) for outcome in outcomes)


def test_a_stranger_is_not_trusted_later_on(monkeypatch, tmp_path):
    """The connections that follow the first one look at the certificate, too."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.delenv("SSL_CERT_DIR")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    known, strange = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    authority.issue_cert("127.0.0.1").configure_cert(known)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(strange)
    with recording(tls=known, then=strange) as (place, met):
        first, second = completed(f"https://{place}", question("one"), question("two"))
    assert first == ANSWER
    assert "certificate verify failed" in str(second)
    assert len(met) == 1
