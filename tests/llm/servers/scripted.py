"""An OpenAI-compatible server that misbehaves as it is told, for tests.

    python scripted.py        prints its port, then serves until it is killed

Each test has a scenario of its own, named in the URL (`/NAME/v1/...`):

    PUT /NAME       {"steps": [...], "rules": {...}, "answers": [...]}
    GET /NAME       the chat requests it has seen, oldest first

Chat request number i meets step number i; when the steps are used up it meets the rules. With
"plan": {words: {"answers": [...], "steps": [...]}} a request whose question holds the words meets
steps of its own and gets the answer of its seed: nothing hangs on the order in which requests
come. A step is {"ok": true} for a usual answer, or any of

    {"status": 503, "body": ..., "headers": {...}, "type": "text/html"}   sent as it is
    {"reset": true}                                       the connection is reset
    {"cut": 20}                                           20 bytes come, then the end
    {"cut": 20, "torn": true}                             20 bytes come, then a reset
    {"say": text}, {"large": n}                           other words, or n characters of them
    {"choices": "none", "doubled" or "shuffled"}          none, each twice, the last first
    {"model": name}                                       it says that another model answered
    {"sleep": seconds}                                    a late answer; goes with any other
    {"trickle": seconds}                                  a byte at a time, so long

Rules: "refuse": {field: [status, error body]}; "ignore": [fields] (as if they had not been
sent); "constraint": which of "grammar", "response_format", "structured_outputs" is obeyed;
"at_most": choices that a call gives, whatever `n` is; "no_usage": true; "think": tokens that a
thought takes before the answer; "echo_key": true; "logprobs": {answer: what comes as the content
of its log-probabilities, where they are asked for}. "answers" are given in turn, and again from
the first; with the rule "by_prompt": true, the prompt alone decides which.
"""

import json
import socket
import struct
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

SOME_LOGPROBS = [{"token": "x", "logprob": 0.0, "bytes": None, "top_logprobs": []}]
SCENARIOS: dict[str, dict] = {}
LOCK = Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_PUT(self):
        scenario = {"steps": [], "rules": {}, "answers": ["joy"], "seen": [], "given": 0}
        SCENARIOS[self.path.strip("/")] = scenario | self.read()
        self.send(200, {})

    def do_GET(self):
        if self.path.endswith("/models"):
            names = [f"model-{number}" for number in range(30)]
            self.send(200, {"object": "list", "data": [{"id": name} for name in names]})
        else:
            self.send(200, SCENARIOS[self.path.strip("/")]["seen"])

    def do_POST(self):
        scenario = SCENARIOS[self.path.strip("/").split("/")[0]]
        request = self.read()
        own = planned(scenario, request)
        with LOCK:
            scenario["seen"].append(request | {"key": self.headers["authorization"]})
            steps = scenario["steps"] if own is None else own["steps"]
            step = steps.pop(0) if steps else {"ok": True}
        time.sleep(step.get("sleep", 0))
        if step.get("reset"):
            self.reset()
        elif "status" in step:
            self.send(step["status"], step.get("body", {}), step.get("headers"), step.get("type"))
        elif "cut" in step:
            body = json.dumps(complete(scenario, request)).encode()
            self.send(200, body[: step["cut"]], length=len(body) if step.get("torn") else None)
            if step.get("torn"):
                self.reset()
        elif "trickle" in step:
            self.trickle(step["trickle"])
        else:
            for field, (status, body) in scenario["rules"].get("refuse", {}).items():
                if field in request:
                    return self.send(status, body)
            answer = complete(scenario, request)
            if scenario["rules"].get("echo_key"):
                answer["choices"][0]["message"]["content"] = self.headers["authorization"]
            change(answer, step)
            self.send(200, answer)

    def read(self):
        return json.loads(self.rfile.read(int(self.headers["content-length"])))

    def reset(self):
        # Lingering for no time turns the close into a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def send(self, status, body, headers=None, kind=None, length=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if isinstance(body, str):
            data = body.encode()
        try:
            self.send_response(status)
            self.send_header("content-type", kind or "application/json")
            self.send_header("content-length", str(length or len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()
        except ConnectionError:  # the client has lost its patience
            self.close_connection = True

    def trickle(self, seconds):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "100000")
        self.end_headers()
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self.wfile.write(b" ")
                time.sleep(0.02)
        except ConnectionError:
            pass
        self.close_connection = True


def planned(scenario, request):
    """The part of the plan that a request's question belongs to."""
    question = request["messages"][-1]["content"]
    plan = scenario.get("plan", {})
    return next((own for words, own in plan.items() if words in question), None)


def change(answer, step):
    """An answer as a step wants it."""
    choices = answer["choices"]
    for choice in choices:
        if "say" in step or "large" in step:
            words = step.get("say", "well, ")
            choice["message"]["content"] = (words * step.get("large", 1))[: step.get("large")]
    if step.get("choices") == "none":
        choices.clear()
    elif step.get("choices") == "doubled":
        choices[:] = [choice for choice in choices for _ in range(2)]
    elif step.get("choices") == "shuffled":
        choices.reverse()
    answer["model"] = step.get("model", answer["model"])


def complete(scenario, request):
    """The chat completion of a server that is well."""
    rules = scenario["rules"]
    request = {
        field: value for field, value in request.items() if field not in rules.get("ignore", ())
    }
    limit = request.get("max_tokens") or request.get("max_completion_tokens")
    choices = []
    for index in range(min(request.get("n", 1), rules.get("at_most", 128))):
        with LOCK:
            own = planned(scenario, request)
            answers = scenario["answers"] if own is None else own["answers"]
            place = scenario["given"] if own is None else request.get("seed", 0) + index
            scenario["given"] += 1
        if rules.get("by_prompt"):
            place = zlib.crc32(json.dumps(request["messages"]).encode())
        text = answers[place % len(answers)]
        obeyed = rules.get("constraint")
        if obeyed == "response_format" and obeyed in request:
            schema = request[obeyed]["json_schema"]["schema"]
            text = json.dumps({"label": schema["properties"]["label"]["enum"][0]})
        elif obeyed == "structured_outputs" and obeyed in request:
            text = request[obeyed]["choice"][0]
        elif obeyed == "grammar" and obeyed in request:
            text = json.loads(request[obeyed].removeprefix("root ::= ").split(" | ")[0])
        end = "stop"
        if limit <= rules.get("think", 0):
            text, end = "", "length"
        choices.append(
            {
                "index": index,
                "finish_reason": end,
                "message": {"role": "assistant", "content": text},
                "logprobs": {"content": rules.get("logprobs", {}).get(text, SOME_LOGPROBS)}
                if request.get("logprobs")
                else None,
            }
        )
    answer = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"] if planned(scenario, request) else "m",
        "choices": choices,
    }
    if not rules.get("no_usage"):
        answer["usage"] = {
            "prompt_tokens": 100,
            "completion_tokens": 7 * len(choices),
            "total_tokens": 100 + 7 * len(choices),
            "prompt_tokens_details": {"cached_tokens": 33},
        }
    return answer


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A connection that was reset on purpose needs no traceback."""


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
