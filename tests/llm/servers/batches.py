"""A server with OpenAI's Batch API that misbehaves as it is told, for tests.

    python batches.py        prints its port, then serves until it is killed

Each test has a scenario of its own, named in the URL (`/NAME/v1/...`):

    PUT /NAME        {"batches": [...], "rules": {...}, "answers": [...]}
    PATCH /NAME      the same fields, for what comes from now on
    GET /NAME        what it has seen: {"uploads": [...], "batches": [...], "chats": n}

Answers depend on a request's messages, its seed and nothing else, by file as online. Batch number i
is done as entry i of "batches" says, and {} after the last one:

    {"statuses": ["in_progress", "completed"]}     what each look tells, the last again
    {"fail": [[code, message, line]]}              it is not accepted
    {"after": 500}                                 created, and then answered with this status
    {"answered": 2}                                only so many first requests have an answer
    {"errors": {"0": [503, {...}]}}                line number -> no answer but an error
    {"broken": [0]}                                lines whose first answer broke off
    {"reverse": true}, {"double": true}            order of the answers; each comes twice
    {"torn": true}, {"stranger": true}             the last line is cut; a line of nobody's request
    {"short": 1}                                   so many downloads lack the last line
    {"odd": [{}, "<html>", {"status": 5}]}         what the next answers about it, from the one to
                                                   its creation on, say instead: all, or fields

Rules: "refuse": {field: [status, error body]} for every request that has the field; "limit": [name,
n]: batches with more requests than n fail with code `token_limit_exceeded`; "uploads": [statuses]
for the next uploads; "away": [seconds to stay away] for the next looks at a batch; "lists":
[answers] for the next looks at the list of batches; "no_batches": true; "echo_key": true;
"at_most": answers of one request.
"""

import hashlib
import json
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

SCENARIOS: dict[str, dict] = {}
LOCK = Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_PUT(self):
        SCENARIOS[self.path.strip("/")] = {
            "batches": [],
            "rules": {},
            "answers": ["joy", "anger"],
            "files": {},
            "made": {},
            "chats": 0,
        } | json.loads(self.body())
        self.send({})

    def do_PATCH(self):
        SCENARIOS[self.path.strip("/")].update(json.loads(self.body()))
        self.send({})

    def do_GET(self):
        self.route("GET")

    def do_POST(self):
        self.route("POST")

    def route(self, method):
        path, _, query = self.path.partition("?")
        name, *parts = path.strip("/").split("/")
        scenario = SCENARIOS[name]
        if not parts:
            return self.send(seen(scenario))
        with LOCK:
            self.answer(method, parts[1:], query, scenario)

    def answer(self, method, parts, query, scenario):
        files, made, rules = scenario["files"], scenario["made"], scenario["rules"]
        if parts == ["chat", "completions"]:
            scenario["chats"] += 1
            status, body = complete(scenario, json.loads(self.body()), self.headers)
            return self.send(body, status)
        if rules.get("no_batches"):
            self.body()
            return self.send({"error": {"message": "Not Found"}}, 404)
        if parts == ["files"] and method == "POST":
            data = self.body()
            status = rules["uploads"].pop(0) if rules.get("uploads") else 200
            if status not in (200, 500):
                return self.send({"error": {"message": "no"}}, status)
            file = keep(scenario, *multipart(data, self.headers["content-type"]))
            return self.send(file if status == 200 else {"error": {"message": "oops"}}, status)
        if parts == ["files"]:
            listed = [shown(file) for file in files.values() if file["purpose"] == "batch"]
            return self.send({"object": "list", "data": listed, "has_more": False})
        if parts[0] == "files" and parts[2:] == ["content"]:
            if parts[1] not in files:
                return self.send({"error": {"message": "No such File object"}}, 404)
            return self.send(download(files[parts[1]]))
        if parts == ["batches"] and method == "POST":
            request, number = json.loads(self.body()), len(made)
            plan = scenario["batches"][number] if number < len(scenario["batches"]) else {}
            batch = create(scenario, request, plan, self.headers)
            made[batch["id"]] = batch
            return self.send(reported(batch), plan.get("after", 200))
        if parts == ["batches"]:
            if rules.get("lists"):
                return self.send(rules["lists"].pop(0))
            newest = [told(batch) for batch in reversed(made.values())]
            ids = [batch["id"] for batch in newest]
            after = re.search(r"after=(\w+)", query)
            rest = newest[ids.index(after[1]) + 1 :] if after else newest
            return self.send({"object": "list", "data": rest[:1], "has_more": len(rest) > 1})
        if parts[1] not in made:
            return self.send({"error": {"message": "No batch found"}}, 404)
        batch = made[parts[1]]
        if method == "GET" and rules.get("away"):
            return self.send({"error": {"message": "slow down"}}, 429, rules["away"].pop(0))
        if parts[2:] == ["cancel"]:
            self.body()
            batch["to_come"], batch["plan"] = ["cancelling", "cancelled"], {"answered": 1}
            return self.send(told(batch))
        if batch["to_come"]:
            batch["status"] = batch["to_come"].pop(0)
            refused = batch["status"] == "failed" and batch["errors"]["data"]
            if batch["status"] in ("completed", "expired", "cancelled", "failed") and not refused:
                finish(scenario, batch, self.headers)
        return self.send(reported(batch))

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def send(self, body, status=200, away=None):
        page = isinstance(body, str)
        data = body if isinstance(body, bytes) else (body if page else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", "text/html" if page else "application/json")
        self.send_header("content-length", str(len(data)))
        if away is not None:
            self.send_header("retry-after", str(away))
        self.end_headers()
        self.wfile.write(data)


def seen(scenario):
    files = scenario["files"]
    return {
        "uploads": [file["data"].decode() for file in files.values() if file["purpose"] == "batch"],
        "batches": [
            told(batch) | {"requests": files[batch["input_file_id"]]["data"].decode().splitlines()}
            for batch in scenario["made"].values()
        ],
        "chats": scenario["chats"],
    }


def multipart(data, kind):
    """The fields and the file's name and content of a form."""
    mark = b"--" + re.search(r"boundary=\"?([^\";]+)", kind)[1].encode()
    purpose, name, content = "", "", b""
    for part in data.split(mark)[1:-1]:
        head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n")
        if b'name="purpose"' in head:
            purpose = value.decode()
        elif b'name="file"' in head:
            name, content = re.search(rb'filename="([^"]+)"', head)[1].decode(), value + b"\n"
    return purpose, name, content


def keep(scenario, purpose, name, data, short=0):
    number = f"file-{len(scenario['files'])}"
    scenario["files"][number] = {
        "id": number,
        "purpose": purpose,
        "filename": name,
        "data": data,
        "short": short,
    }
    return shown(scenario["files"][number])


def shown(file):
    return {
        "id": file["id"],
        "object": "file",
        "purpose": file["purpose"],
        "filename": file["filename"],
        "bytes": len(file["data"]),
        "created_at": int(time.time()),
        "status": "processed",
    }


def download(file):
    if file["short"]:
        file["short"] -= 1
        return b"".join(file["data"].splitlines(keepends=True)[:-1])
    return file["data"]


def create(scenario, request, plan, headers):
    requests = scenario["files"][request["input_file_id"]]["data"].splitlines()
    errors = [
        {"code": code, "message": message, "line": line}
        for code, message, line in plan.get("fail", ())
    ]
    limit = scenario["rules"].get("limit")
    refused = ["failed"]
    if limit and len(requests) > limit:
        refused = ["validating", "failed"]  # as OpenAI, which counts tokens first
        errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]
    return {
        "id": f"batch_{len(scenario['made'])}",
        "object": "batch",
        "endpoint": request["endpoint"],
        "completion_window": request["completion_window"],
        "created_at": int(time.time()),
        "input_file_id": request["input_file_id"],
        "metadata": {**(request.get("metadata") or {}), "gateway": "g1"},  # as some gateways do
        "status": "validating",
        "errors": {"object": "list", "data": errors},
        "request_counts": {"total": len(requests), "completed": 0, "failed": 0},
        "plan": plan,
        "to_come": refused if errors else plan.get("statuses", ["in_progress", "completed"]),
    }


def told(batch):
    return {field: batch[field] for field in batch if field not in ("plan", "to_come")}


def reported(batch):
    """What an answer about a batch says."""
    odd = batch["plan"].get("odd")
    instead = odd.pop(0) if odd else {}
    return told(batch) | instead if isinstance(instead, dict) else instead


def finish(scenario, batch, headers):
    """Write the outcome of a batch that has ended."""
    plan, good, bad = batch["plan"], [], []
    requests = scenario["files"][batch["input_file_id"]]["data"].splitlines()
    for number, text in enumerate(requests):
        request = json.loads(text)
        line = {"id": f"batch_req_{number}", "custom_id": request["custom_id"], "error": None}
        if number >= plan.get("answered", len(requests)):
            code = f"batch_{batch['status']}"
            bad.append(line | {"response": None, "error": {"code": code, "message": "too late"}})
            continue
        status, body = complete(scenario, request["body"], headers)
        if str(number) in plan.get("errors", {}):
            status, error = plan["errors"][str(number)]
            body = {"error": error}
        if number in plan.get("broken", ()):
            body["choices"][0]["finish_reason"] = "error"
        done = line | {"response": {"status_code": status, "request_id": "r", "body": body}}
        (good if status == 200 else bad).append(done)
    counts = {"total": len(requests), "completed": len(good), "failed": len(bad)}
    batch["request_counts"] = counts
    if plan.get("reverse"):
        good.reverse()
    if plan.get("double"):
        good = [line for line in good for _ in range(2)]
    if plan.get("stranger"):
        good.insert(0, good[-1] | {"custom_id": "somebody-else-1"})
    for field, lines in (("output_file_id", good), ("error_file_id", bad)):
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        if field == "output_file_id" and plan.get("torn"):
            data = data[:-40]
        short = plan.get("short", 0) if field == "output_file_id" else 0
        file = keep(scenario, "batch_output", "output.jsonl", data, short) if lines else None
        batch[field] = file and file["id"]


def complete(scenario, request, headers):
    """The status and body of a chat completion."""
    rules = scenario["rules"]
    for field, (status, body) in rules.get("refuse", {}).items():
        if field in request:
            return status, body
    choices = []
    for index in range(min(request.get("n", 1), rules.get("at_most", 128))):
        seed = request.get("seed", 0) + index
        drawn = hashlib.sha256(json.dumps([request["messages"], seed]).encode()).digest()[0]
        text = scenario["answers"][drawn % len(scenario["answers"])]
        if rules.get("echo_key"):
            text += " " + headers["authorization"]
        message = {"role": "assistant", "content": text}
        choices.append({"index": index, "finish_reason": "stop", "message": message})
    return 200, {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": choices,
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 7 * len(choices),
            "total_tokens": 100 + 7 * len(choices),
        },
    }


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that was killed needs no traceback."""


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
