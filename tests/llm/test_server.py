"""The API backend against llama.cpp's own server with the embedded model."""

import asyncio
import builtins
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from ragemo.errors import ModelError, SettingsError
from ragemo.labels import LabelSet
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.server import serve
from ragemo.models import SMOLLM2, is_ready, model_folder
from ragemo.prompting.forms import FORMS
from ragemo.types import Message, Prompt, Window
from tests.conftest import make_turn
from tests.llm.asking import all_of

LABELS = LabelSet.from_dict(
    {"name": "odd", "labels": ["joy", "anger", 'mixed "up"', "peur/angoisse", "m\u00fcde"]}
)


def prompt(number=0, form="label"):
    asked = f"Tell a story of {number} cats."
    if form != "label":
        asked += " " + FORMS[form].instruction
    messages = (Message("user", asked),)
    return Prompt(
        f"u{number}", messages, tokens=20, form=form, window=Window((make_turn("Cats!"),))
    )


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "RAGEMO_PRICES"):
        monkeypatch.delenv(name, raising=False)


def ask(url, samples, *, prompts=1, form="label", **settings):
    model = OpenAIModel("smollm2", base_url=url, **settings)

    async def work():
        try:
            many = (
                all_of(model, prompt(number, form), LABELS, samples) for number in range(prompts)
            )
            return await asyncio.gather(*many)
        finally:
            await model.close()

    return asyncio.run(work()), model


def test_constrained_answers_are_labels(llama_url):
    """Whatever the question: a model that would never say one of them has to."""
    asked, model = ask(llama_url, (0, 1), prompts=4, temperature=1.5)
    for number, ballots in enumerate(asked):
        assert [ballot.sample for ballot in ballots] == [0, 1]
        for ballot in ballots:
            assert ballot.utterance_id == f"u{number}"
            assert ballot.answer in LABELS.words
            assert ballot.distribution == LABELS.one_hot(ballot.answer)
    assert model.capabilities.constraint == "grammar"
    assert len({ballot.answer for ballots in asked for ballot in ballots}) > 1


def test_a_schema_holds_answers_to_the_labels_too(llama_url):
    ((ballot,),), model = ask(llama_url, (0,), constraint="json_schema", temperature=0)
    assert json.loads(ballot.answer)["label"] in LABELS.words
    assert ballot.distribution is not None
    assert model.capabilities.constraint == "json_schema"


@pytest.mark.parametrize("form", ["cause", "reasoned"])
def test_a_schema_gives_the_keys_of_a_form_in_their_order(llama_url, form):
    ((ballot,),), _ = ask(llama_url, (0,), form=form, temperature=0)
    said = json.loads(ballot.answer)
    assert tuple(said) == FORMS[form].properties
    assert ballot.distribution == LABELS.one_hot(said["label"])
    if form == "cause":
        assert ballot.details == {"cause": "d_0" if said["cause"] == 1 else None}
    else:
        assert ballot.details == {"reasons": said["reasons"].strip()}


def test_unconstrained_answers_are_read_as_strictly(llama_url):
    asked, _ = ask(llama_url, (0,), prompts=3, constraint="none")
    for (ballot,) in asked:
        assert ballot.invalid
        assert ballot.answer
        assert ballot.usage.answer_tokens > 0


def test_more_answers_than_slots_are_topped_up(llama_url):
    (ballots,), model = ask(llama_url, range(5))
    assert [ballot.sample for ballot in ballots] == [0, 1, 2, 3, 4]
    assert not any(ballot.failed or ballot.invalid for ballot in ballots)
    assert model.capabilities.largest_n == 2


def test_tokens_are_counted(llama_url):
    ((one,),), _ = ask(llama_url, (0,), constraint="none", max_answer_tokens=5)
    ((two, three),), model = ask(llama_url, (0, 1), constraint="none", max_answer_tokens=5)
    assert one.usage.answer_tokens == 5
    assert 10 < one.usage.prompt_tokens < 60
    assert two.usage.prompt_tokens + three.usage.prompt_tokens == one.usage.prompt_tokens
    assert two.usage.cost == 0.0
    assert one.usage.prompt_tokens <= model.count_tokens(prompt().messages) + 25, "system prompt"


def test_a_seed_gives_the_same_answer_alone_and_with_others(llama_url):
    settings = {"constraint": "none", "temperature": 1.5, "max_answer_tokens": 8, "seed": 40}
    (together,), _ = ask(llama_url, (3, 4), **settings)
    ((alone,),), _ = ask(llama_url, (4,), **settings)
    assert together[1].answer == alone.answer
    assert together[0].answer != alone.answer


EMOTIONS = LabelSet.from_dict({"name": "emotions", "labels": ["joy", "anger", "sadness", "fear"]})
DEMONSTRATIONS = [
    ("I love it! This is great!", "joy"),
    ("Get out of my house!", "anger"),
    ("I miss her so much.", "sadness"),
    ("Please don't hurt me.", "fear"),
] * 2


def soft_answers(url, *texts, **settings):
    """Answers to prompts that lead even a small model to a label."""
    shown = [
        Message(role, said)
        for demonstration in DEMONSTRATIONS
        for role, said in zip(("user", "assistant"), demonstration, strict=True)
    ]
    model = OpenAIModel("smollm2", base_url=url, label_probabilities=True, **settings)

    async def work():
        try:
            many = (
                model.ask(Prompt(text, (*shown, Message("user", text)), 200), EMOTIONS, (0,))
                for text in texts
            )
            return [ballot for (ballot,) in await asyncio.gather(*many)]
        finally:
            await model.close()

    return asyncio.run(work())


@pytest.mark.parametrize("constraint", ["grammar", "none"])
def test_one_answer_brings_a_distribution(llama_url, constraint):
    happy, angry = soft_answers(
        llama_url,
        "I am so happy today!",
        "Leave me alone, you idiot!",
        constraint=constraint,
        temperature=0,
    )
    for ballot in (happy, angry):
        assert sum(ballot.distribution) == pytest.approx(1)
        assert min(ballot.distribution) > 0
        assert max(ballot.distribution) < 0.99
        assert ballot.log_likelihoods is None
    joy, anger = EMOTIONS.index("joy"), EMOTIONS.index("anger")
    assert happy.distribution[joy] > angry.distribution[joy] + 0.2
    assert angry.distribution[anger] > happy.distribution[anger] + 0.2


def test_its_probabilities_know_of_no_grammar(llama_url):
    """A model that is asked for a story and held to a label was about to say something else."""
    asked, model = ask(llama_url, (0,), prompts=2, label_probabilities=True)
    for (ballot,) in asked:
        assert ballot.answer in LABELS.words
        assert ballot.distribution == LABELS.one_hot(ballot.answer)
    assert model.capabilities.top_logprobs == 20


def test_describe(llama_url):
    model = OpenAIModel("smollm2", base_url=llama_url)

    async def work():
        try:
            return await model.describe()
        finally:
            await model.close()

    report = asyncio.run(work())
    assert report["reachable"]
    assert report["models"] == ["smollm2"]
    assert report["model_listed"]
    assert (report["constraint"], report["constraint_kept"]) == ("grammar", True)
    assert report["n"] is report["seed"] is report["temperature"] is report["logprobs"] is True
    assert report["label_probabilities"] is not None
    assert report["errors"] == []


def test_no_web_page_may_use_it_and_nobody_read_along(llama_url):
    page = "http://evil.example"
    request = urllib.request.Request(f"{llama_url}/models", headers={"Origin": page})
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.headers.get("Access-Control-Allow-Origin", "") not in ("*", page)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(llama_url.removesuffix("/v1") + "/slots", timeout=10)


def test_serving_needs_the_extra(monkeypatch):
    usual = builtins.__import__

    def without(name, *arguments, **keywords):
        if name == "xllamacpp":
            raise ImportError(name)
        return usual(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=r"pip install ragemo\[server\]"):
        serve(ready=pytest.fail)


@pytest.mark.parametrize("setting", ["context", "slots", "port", "threads"])
def test_a_number_out_of_range_is_named(setting):
    with pytest.raises(SettingsError, match=f"{setting} is -1"):
        serve(**{setting: -1}, ready=pytest.fail)


def test_a_port_that_no_address_has_is_refused():
    """llama.cpp would take it, and listen on what is left of it in 16 bits."""
    with pytest.raises(SettingsError, match="port is 65536, expected 65535 or less"):
        serve(port=65_536, ready=pytest.fail)


def test_what_is_no_model_is_named(tmp_path):
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    path = tmp_path / "model.gguf"
    with pytest.raises(ModelError, match=r"no model file .*model\.gguf"):
        serve(path, ready=pytest.fail)
    path.write_text("<html>not found</html>")
    with pytest.raises(ModelError, match=r"model\.gguf is no GGUF file"):
        serve(path, ready=pytest.fail)


SERVE = """
import sys
from pathlib import Path
from ragemo.errors import ModelError
from ragemo.llm.server import serve
try:
    serve(Path(sys.argv[1]), port=int(sys.argv[2]), ready=print)
except ModelError as error:
    print(error)
"""


@pytest.mark.parametrize("reason", ["a port in use", "a damaged file"])
def test_what_llama_cpp_cannot_do_is_an_error_for_people(tmp_path, reason):
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    path, port = tmp_path / "model.gguf", 0
    path.write_bytes(b"GGUF" + bytes(99))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        if reason == "a port in use":
            if not is_ready(SMOLLM2):
                pytest.skip(f"{SMOLLM2.name} is not in the cache")
            path, port = model_folder(SMOLLM2.name) / SMOLLM2.weights, taken.getsockname()[1]
        result = subprocess.run(
            [sys.executable, "-c", SERVE, str(path), str(port)],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
    assert result.returncode == 0
    assert result.stdout.startswith(f"llama.cpp cannot serve {path} on 127.0.0.1 port {port}")
    assert result.stdout.count("\n") == 1
