"""The lines of batch files."""

import json
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import BatchCreateParams
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from ragemo.llm.batch.lines import URL, custom_id, parts_of, read_outcome, request_line
from ragemo.llm.openai_model import OpenAIModel
from tests.llm.asking import LABELS, PROMPT

VLLM = {"grammar", "structured_outputs"}
"""What vLLM and llama.cpp take and OpenAI's client does not know."""


@pytest.mark.parametrize("base_url", ["https://api.openai.com/v1", "http://localhost:8000/v1"])
@pytest.mark.parametrize("samples", [(0,), (2, 3, 4)])
@pytest.mark.parametrize("probabilities", [False, True])
def test_a_line_is_what_the_client_would_send(base_url, samples, probabilities):
    model = OpenAIModel(
        "m", base_url=base_url, seed=7, label_probabilities=probabilities, asks=False
    )
    call = model.call(PROMPT, LABELS, samples)
    line = request_line(custom_id("a" * 64, call.n), call.request)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    record = json.loads(line)
    assert set(record) == {"custom_id", "method", "url", "body"}
    assert (record["method"], record["url"]) == ("POST", "/v1/chat/completions")
    assert URL in typing.get_args(typing.get_type_hints(BatchCreateParams)["endpoint"])
    body = record["body"]
    known = set(typing.get_type_hints(CompletionCreateParamsNonStreaming))
    assert set(body) <= known | VLLM
    assert set(body) & VLLM == (set() if "openai" in base_url else VLLM)
    assert body["seed"] == 7 + samples[0]
    assert body.get("n", 1) == len(samples)


@given(key=st.text("0123456789abcdef", min_size=64, max_size=64), n=st.integers(1, 1000))
def test_a_custom_id_is_short_and_tells_its_parts(key, n):
    name = custom_id(key, n)
    assert len(name) <= 64
    assert parts_of(name) == (key[:48], n)


@pytest.mark.parametrize(
    "name", ["", "a", "x" * 48 + "-1", "a" * 48, "a" * 48 + "-0", "a" * 48 + "-1x"]
)
def test_other_ids_are_nobodys(name):
    assert parts_of(name) is None


@given(st.binary())
def test_any_bytes_are_an_outcome_or_none(data):
    outcome = read_outcome(data)
    assert outcome is None or outcome.custom_id is not None


def line(**fields):
    return json.dumps({"custom_id": "x", **fields}).encode()


COMPLETION = {"choices": []}


@pytest.mark.parametrize(
    ("record", "status", "words"),
    [
        (line(response={"status_code": 200, "body": COMPLETION}, error=None), 200, None),
        (
            line(response=None, error={"code": "batch_expired", "message": "too late"}),
            None,
            "batch_expired: too late",
        ),
        (
            line(
                response={"status_code": 400, "body": {"error": {"message": "bad", "code": None}}}
            ),
            400,
            "bad",
        ),
        (
            line(response={"status_code": 400}, error={"error": {"message": "bad"}, "object": "e"}),
            400,
            "bad",
        ),
        (line(response={"status_code": 200, "body": {}}), 200, "no chat completion came"),
        (line(), None, "no chat completion came"),
    ],
)
def test_outcomes_are_read(record, status, words):
    outcome = read_outcome(record)
    assert outcome.status == status
    if words is None:
        assert outcome.completion == COMPLETION
    else:
        assert outcome.completion is None
        assert outcome.words == words


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"custom_id": 1}', b"null", b"[" * 100_000])
def test_other_lines_are_none(text):
    assert read_outcome(text) is None
