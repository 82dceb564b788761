"""Stands before the server, passes every call on and counts what the server says of it."""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

MOST_ANSWER_TOKENS = 64
"""No system gets longer answers: some ask for no end, and a small model may find none."""


class Gateway:
    """Counts calls and tokens; the same for every system.

    Args:
        upstream: the server's URL, with /v1.

    Attributes:
        url: what systems are told.
        counts: calls, failed calls, tokens of prompts, cached tokens of them, tokens of answers.
    """

    def __init__(self, upstream: str) -> None:
        self.counts = dict.fromkeys(("calls", "failed", "prompt", "cached", "answer"), 0)
        gateway, lock, server = self, threading.Lock(), urlsplit(upstream)

        class Handler(BaseHTTPRequestHandler):
            """One call."""

            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:  # a name of http.server's
                self._pass_on(None)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for name in ("max_tokens", "max_completion_tokens"):
                    body[name] = min(body.get(name) or MOST_ANSWER_TOKENS, MOST_ANSWER_TOKENS)
                self._pass_on(json.dumps(body).encode())

            def _pass_on(self, body: bytes | None) -> None:
                connection = HTTPConnection(server.hostname or "", server.port)
                connection.request(
                    "GET" if body is None else "POST",
                    self.path,
                    body,
                    {"Content-Type": "application/json"},
                )
                reply = connection.getresponse()
                status, said = reply.status, reply.read()
                connection.close()
                if body is not None:
                    with lock:
                        gateway._count(status, said)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _count(self, status: int, said: bytes) -> None:
        self.counts["calls"] += 1
        if status != 200:
            self.counts["failed"] += 1
            return
        usage = json.loads(said).get("usage", {})
        self.counts["prompt"] += usage.get("prompt_tokens", 0)
        self.counts["answer"] += usage.get("completion_tokens", 0)
        details = usage.get("prompt_tokens_details") or {}
        self.counts["cached"] += details.get("cached_tokens", 0)
