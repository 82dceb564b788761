"""Requests after the first are like it, and what comes of them means the same."""

import asyncio
import gzip
import json
import re
import ssl
import traceback
from collections import namedtuple
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import trustme

from ragemo.errors import SettingsError
from ragemo.llm.sending.connection import Connection
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.pace import Limits
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
                    outcomes.append((await connection.complete(request, tokens=1)).completion)
                except Exception as error:
                    outcomes.append(error)
        finally:
            await connection.close()
        return outcomes

    return asyncio.run(work())


def question(text):
    messages = [{"role": "user", "content": text}]
    return {"model": "some-model", "messages": messages, "max_tokens": 16}


Met = namedtuple("Met", "path headers body connection")
"""A request that came: headers by lower-case names, and a number for whoever has sent it."""


def answer(said=ANSWER, status=200, **headers):
    """An answer's status, headers and body; names of headers are written with underscores."""
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return status, named, said if isinstance(said, bytes) else json.dumps(said).encode()


def moved(to, status=307):
    """An answer that sends who asks elsewhere."""
    return answer(b"", status, location=to)


@contextmanager
def recording(*answers, tls=None, then=None):
    """A server's place, and the requests that it has met.

    Args:
        answers: given in order, the last one again and again; one may be a function of the path.
        tls: how connections are encrypted; None: they are not.
        then: the same, once it has answered.
    """
    met = []
    answers = answers or (answer(),)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            pass

        def do_POST(self):
            said = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            met.append(Met(self.path, headers, json.loads(said), self.client_address[1]))
            given = answers[min(len(met), len(answers)) - 1]
            status, headers, data = given(self.path) if callable(given) else given
            self.send_response(status)
            for name, value in [*headers, ("content-length", str(len(data)))]:
                self.send_header(name, value)
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
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
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
    assert [one.body["messages"][0]["content"] for one in met] == texts
    assert {one.path for one in met} == {"/v1/chat/completions"}
    first, *others = [one.headers for one in met]
    assert first["authorization"].startswith("Basic " if login else f"Bearer {KEY}")
    for headers in others:
        assert {**headers, "content-length": ""} == {**first, "content-length": ""}
    assert len({one.connection for one in met}) == 2  # the client's, and that of those after it


def test_headers_of_the_user_are_kept(monkeypatch):
    own = {"Host": "virtual.test", "Accept-Encoding": "identity", "Cookie": "own=1", "X-Mine": "2"}
    lines = "\n".join(f"{name}: {value}" for name, value in own.items())
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", lines)
    busy = answer({"error": {"message": "busy"}}, 503, set_cookie="number=0")
    with recording(busy, answer(set_cookie="number=1")) as (place, met):
        assert completed(f"http://{place}", *map(question, "abc"), attempts=2) == [ANSWER] * 3
    assert len(met) == 4
    for one in met:
        assert {name: one.headers[name.lower()] for name in own} == own


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_cookies_are_those_of_the_answers_before(host):
    """Balancers of load may know by them whom to ask again."""
    answers = [answer(set_cookie=f'number="{one} of 3"') for one in (1, 2)]
    with recording(*answers, answer()) as (place, met):
        place = place.replace("127.0.0.1", host)
        assert completed(f"http://{place}", *map(question, "abcd")) == [ANSWER] * 4
    sent = [one.headers.get("cookie") for one in met]
    assert sent == [None, 'number="1 of 3"', 'number="2 of 3"', 'number="2 of 3"']


def test_a_cookie_of_a_failure_is_kept_until_there_is_another():
    busy, other = (
        answer({"error": {"message": "busy"}}, 503, set_cookie=f"balancer={one}") for one in (1, 2)
    )
    with recording(busy, answer(), answer(), other, answer()) as (place, met):
        assert completed(f"http://{place}", *map(question, "abc"), attempts=2) == [ANSWER] * 3
    sent = [one.headers.get("cookie") for one in met]
    assert sent == [None, *["balancer=1"] * 3, "balancer=2"]


def test_an_endpoint_that_has_moved_is_followed_each_time():
    def told(path):
        return answer() if path.startswith("/elsewhere") else moved(f"/elsewhere{path}")

    with recording(told) as (place, met):
        assert completed(f"http://{place}", question("one"), question("two")) == [ANSWER] * 2
    assert [one.path for one in met] == [
        "/v1/chat/completions",
        "/elsewhere/v1/chat/completions",
    ] * 2
    assert [one.body["messages"][0]["content"] for one in met] == ["one", "one", "two", "two"]


def test_an_endpoint_that_moves_later_on_is_followed_as_the_client_does():
    def told(path):
        far = path.count("/on")  # further than aiohttp would follow
        return answer() if far == 12 else moved(f"{path}/on")

    with recording(answer(), told) as (place, met):
        assert completed(f"http://{place}", *map(question, "abc")) == [ANSWER] * 3
    assert [one.body["messages"][0]["content"] for one in met] == [
        *["a", "b"],  # which was sent to the old place,
        *["b"] * 13,  # and there once more by the client, which follows
        *["c"] * 13,
    ]
    assert {one.headers["authorization"] for one in met} == {f"Bearer {KEY}"}


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
        {"status": 503, "body": "[1]", "type": "text/plain; charset=hex"},
        {"status": 503, "body": "[1]", "type": "text/plain; charset=rot13"},
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


def test_a_compressed_answer_is_read():
    squeezed = answer(gzip.compress(json.dumps(ANSWER).encode()), content_encoding="gzip")
    with recording(squeezed) as (place, met):
        assert completed(f"http://{place}", *map(question, "abc")) == [ANSWER] * 3
    assert all("gzip" in one.headers["accept-encoding"] for one in met)


@pytest.mark.parametrize(
    "headers",
    [
        {"content_encoding": "gzip"},
        {"content_encoding": "gzip", "x_note": "\u00fcberlastet"},
        {"x_note": "\u00fcberlastet", "content_type": "text/plain; charset=unknown"},
    ],
    ids=str,
)
@pytest.mark.parametrize("damaged", [False, True])
def test_an_error_is_read_as_the_client_reads_it(headers, damaged):
    said = json.dumps({"error": {"message": "no room"}}).encode()
    if damaged:
        said = said[:9]
    elif "content_encoding" in headers:
        said = gzip.compress(said)
    failure = answer(said, 429, retry_after="100000", **headers)
    with recording(failure) as (place, _):
        (first,) = completed(f"http://{place}", question("one"))
    with recording(answer(), failure) as (place, met):
        there, later = completed(f"http://{place}", question("one"), question("two"))
    assert there == ANSWER
    assert len(met) == 2
    one, other = (re.sub(r"127[^ :]*:\d+/v1", "", str(error)) for error in (first, later))
    assert one == other
    assert (later.transient, later.busy) == (first.transient, first.busy)
    if not damaged:
        assert "no room" in str(later)
        assert "100000 s" in str(later)


@pytest.mark.parametrize("spared", ["", "other.test", ".endpoint.test", "127.0.0.0/8"])
def test_a_proxy_is_asked_each_time(spared, monkeypatch):
    with recording() as (place, met):
        monkeypatch.setenv("http_proxy", f"http://{place.removesuffix('/v1')}")
        monkeypatch.setenv("no_proxy", spared)
        asked = completed("http://endpoint.test/v1", *map(question, "abc"))
    assert asked == [ANSWER] * 3
    assert {one.path for one in met} == {"http://endpoint.test/v1/chat/completions"}


@pytest.mark.parametrize(
    ("proxy", "spared"),
    [
        ("http_proxy", "127.0.0.1"),
        ("http_proxy", "localhost, 127.0.0.1"),
        ("all_proxy", "*"),
        ("https_proxy", ""),  # which is not for http
    ],
)
def test_no_proxy_is_asked_where_none_is_wanted(proxy, spared, monkeypatch):
    monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("no_proxy", spared)
    with recording() as (place, met):
        assert completed(f"http://{place}", *map(question, "abc")) == [ANSWER] * 3
    assert len({one.connection for one in met}) == 2


@pytest.mark.parametrize("trusted", [True, False])
def test_certificates_are_looked_at(trusted, monkeypatch, tmp_path):
    """Those that SSL_CERT_FILE names are trusted."""
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


@pytest.mark.parametrize(
    ("name", "value"), [("SSL_CERT_FILE", "/nowhere.pem"), ("NO_PROXY", "xn--bcher-kva.de")]
)
def test_an_environment_that_cannot_be_used_is_told(name, value, monkeypatch):
    monkeypatch.delenv("SSL_CERT_DIR")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    (error,) = completed("http://127.0.0.1:9/v1", question("one"))
    assert isinstance(error, SettingsError)
    assert name in str(error)


@pytest.mark.parametrize("proxy", ["http://user:secr/etpw@proxy:80", "http://proxy:secr"])
def test_a_proxy_that_is_no_url_is_told_without_its_words(proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    (error,) = completed("http://127.0.0.1:9/v1", question("one"))
    assert isinstance(error, SettingsError)
    assert "HTTP_PROXY" in str(error)
    assert "secr" not in "".join(traceback.format_exception(error))


def test_a_proxy_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    (error,) = completed("http://example.invalid/v1", question("one"))
    assert "http://example.invalid/v1: the proxy 127.0.0.1:9" in str(error)
    assert "Connection refused" in str(error)


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
