"""`ragemo prompt show`: exactly what would be sent, to nobody."""

import json

import pytest

from ragemo.corpus import read_corpus
from ragemo.pipeline import predict
from ragemo.retrieval.embedding.embedder import load_index_embedder
from ragemo.retrieval.index import Index
from ragemo.settings import resolve_settings
from tests.fake_llm import FakeLLM

NOBODY = ("--llm", "some-model", "--base-url", "http://localhost:9")


@pytest.fixture
def target(test_file):
    """An utterance with something before it."""
    rows = json.loads(test_file.read_text())
    wanted = [row["id"] for row in rows if row["need_prediction"] == "yes"]
    return wanted[5]


def sent_about(target, test_file, index, overrides):
    found = Index.load(index)
    corpus = read_corpus(test_file, labels=found.labels)
    llm = FakeLLM()
    predict(
        corpus,
        resolve_settings({}, {"voting.checks": 0, "llm.model": "some-model"} | overrides),
        "run",
        index=found,
        embedder=load_index_embedder(found.embedder, say=lambda line: None),
        llm=llm,
    )
    return [prompt for prompt in llm.prompts if prompt.utterance_id == target]


@pytest.mark.parametrize(
    ("flags", "overrides"),
    [
        ((), {}),
        (
            (
                "--k",
                3,
                "--strategy",
                "balanced,mmr",
                "--context",
                -1,
                "--template",
                "few-shot-chat",
            ),
            {
                "retrieval.k": 3,
                "retrieval.strategy": ["balanced", "mmr"],
                "prompt.context": None,
                "prompt.template": "few-shot-chat",
            },
        ),
    ],
)
def test_it_prints_what_predict_sends(command, test_file, index, target, flags, overrides):
    done = command("prompt", "show", target, "--data", test_file, "--index", index, *NOBODY, *flags)
    assert (done.code, done.err) == (0, "")
    (prompt,) = sent_about(target, test_file, index, overrides)
    printed = "".join(
        part.partition("\n")[2].removesuffix("\n")
        for part in done.out.split("\n--- ")
        if not part.startswith("about")
    )
    contents = [message.content for message in prompt.messages]
    for content in contents:
        assert f"\n{content}\n" in done.out
    assert printed == "".join(contents)


def test_an_unknown_utterance_is_an_error(command, test_file, index, target):
    done = command("prompt", "show", "nobody", "--data", test_file, "--index", index, *NOBODY)
    assert (done.code, done.out) == (2, "")
    assert "utterance 'nobody' is not in it; there are " in done.err
    assert str(test_file) in done.err
    assert "Traceback" not in done.err


def test_so_is_one_that_is_context_only(command, tmp_path, test_file, index, target):
    rows = json.loads(test_file.read_text())
    for row in rows:
        if row["id"] == target:
            row["need_prediction"] = "no"
    file = tmp_path / "test.json"
    file.write_text(json.dumps(rows))
    done = command("prompt", "show", target, "--data", file, "--index", index, *NOBODY)
    assert (done.code, done.out) == (2, "")
    assert f"utterance '{target}' needs no prediction" in done.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--llm", "none"), "--llm none asks nobody"),
        ((*NOBODY, "--strategy", "nearest"), "no retrieval strategy 'nearest'"),
        (
            (*NOBODY, "--set", "retrieval.options={mmr: {x: 1}}", "--strategy", "mmr"),
            "no option 'x'",
        ),
        ((*NOBODY, "--template", "nothing"), "nothing"),
    ],
)
def test_what_cannot_be_shown_is_refused(command, test_file, index, target, flags, said):
    done = command("prompt", "show", target, "--data", test_file, "--index", index, *flags)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_the_data_and_the_index_may_stand_in_a_config(command, tmp_path, test_file, index, target):
    config = tmp_path / "config.yaml"
    config.write_text(f"paths:\n  data: {test_file}\n  index: {index}\nretrieval:\n  k: 2\n")
    one = command("prompt", "show", target, "--config", config, *NOBODY)
    two = command(
        "prompt", "show", target, "--data", test_file, "--index", index, "--k", 2, *NOBODY
    )
    assert one.code == 0
    assert one == two
    assert "demonstrations: 2 (" in one.out
