import json
from pathlib import Path

import pytest

from ragemo.corpus import read_corpus
from ragemo.pipeline import predict
from ragemo.settings import resolve_settings
from tests.fake_llm import FakeLLM

ROWS = [
    # (id, to be predicted, what the model answers); the sessions are interleaved
    ("Ses02M_impro01_F000", "yes", "sad"),
    ("Ses01F_impro02_M000", "yes", "angry"),
    ("Ses02M_impro01_M000", "no", ""),
    ("Ses02F_script01_1_M000", "yes", "neutral"),
    ("Ses01F_impro02_F000", "yes", "sad"),
    ("Ses02M_impro01_F001", "yes", "angry"),
    ("Ses01F_impro01_F000", "yes", "happy"),
    ("Ses02M_impro02_F000", "yes", "happy"),
]
IN_ORDER = "sad,ang,hap,ang,sad,hap,neu\n"
"""Ses02M, Ses01F, Ses02F by first appearance; inside each the order of the file."""


def run_of(answers, out, rows=ROWS, **overrides):
    """A run over the rows with a model that answers as it is told."""
    data = [
        {
            "need_prediction": wanted,
            "emotion": "neu" if wanted == "yes" else "fru",
            "id": name,
            "speaker": name[:5] + "_F",
            "groundtruth": "",
            "whispertiny": f"words of {name}",
        }
        for name, wanted, _ in rows
    ]
    Path("file.json").write_text(json.dumps(data))
    llm = FakeLLM(lambda prompt, sample: answers[prompt.utterance_id])
    settings = resolve_settings({}, {"retrieval.k": 0} | overrides)
    predict(read_corpus("file.json"), settings, out, llm=llm)


ANSWERS = {name: answer for name, _, answer in ROWS}


def test_the_challenge_s_order(command):
    run_of(ANSWERS, "run")
    done = command("submit", "run")
    assert (done.code, done.out, done.err) == (0, "pred.csv: 7 labels\n", "")
    assert Path("pred.csv").read_text() == IN_ORDER
    command("submit", "run", "--out", "deep/er/mine.csv")
    assert Path("deep/er/mine.csv").read_text() == IN_ORDER


def test_the_baseline_s_dialogues_have_the_same_order(command):
    run_of(ANSWERS, "run")
    data = json.loads(Path("file.json").read_text())
    llm = FakeLLM(lambda prompt, sample: ANSWERS[prompt.utterance_id])
    corpus = read_corpus("file.json", segmentation="baseline")
    predict(corpus, resolve_settings({}, {"retrieval.k": 0}), "baseline", llm=llm)
    assert len(data) == len(corpus.utterances)
    command("submit", "baseline")
    assert Path("pred.csv").read_text() == IN_ORDER


def test_dialogues_that_interleave_inside_a_session_keep_the_file_s_order(command):
    rows = [
        ("Ses01F_impro01_F000", "yes", "sad"),
        ("Ses01F_impro02_F000", "yes", "happy"),
        ("Ses01F_impro01_F001", "yes", "angry"),
    ]
    run_of({name: answer for name, _, answer in rows}, "run", rows)
    command("submit", "run")
    assert Path("pred.csv").read_text() == "sad,hap,ang\n"


@pytest.mark.parametrize("answer", ["hungry", None])
def test_an_utterance_without_a_label(command, answer):
    run_of(ANSWERS | {"Ses02M_impro02_F000": answer}, "run")
    done = command("submit", "run")
    assert (done.code, done.out) == (2, "")
    assert "1 utterances have no valid label (Ses02M_impro02_F000" in done.err
    assert "--fill neighbours" in done.err
    done = command("submit", "run", "--fill", "neighbours")
    assert done.code == 2
    assert "no index voted" in done.err
    assert not Path("pred.csv").exists()


def test_the_index_fills_in(command, train, index):
    command("predict", train, "--index", index, "--llm", "none", "--out", "alone")
    command("submit", "alone", "--out", "alone.csv")
    lines = Path("alone/verdicts.jsonl").read_text().splitlines()
    voted = [json.loads(line) for line in lines]
    # A run whose model answered nothing useful: each verdict lost its label.
    for number in (0, 3):
        voted[number] |= {"label": None, "distribution": None, "invalid": 1}
    Path("alone/verdicts.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in voted))
    assert command("submit", "alone").code == 2
    done = command("submit", "alone", "--fill", "neighbours")
    assert done.code == 0
    assert "2 utterances without a valid label carry the neighbours' label" in done.err
    filled, pooled = (Path(name).read_text().splitlines() for name in ("pred.csv", "alone.csv"))
    neighbours = [
        max(shares, key=shares.get)
        for ballot in map(json.loads, Path("alone/ballots.jsonl").read_text().splitlines())
        if ballot["voter"] == "neighbours"
        for shares in [dict(zip(("neu", "hap", "sad", "ang"), ballot["distribution"], strict=True))]
    ]
    for number, label in enumerate(filled[0].split(",")):
        assert label == (neighbours if number in (0, 3) else pooled[0].split(","))[number]


def test_what_is_refused(command, test_file):
    run_of(ANSWERS, "limited", limit=3)
    done = command("submit", "limited")
    assert done.code == 2
    assert "--limit" in done.err
    run_of(ANSWERS, "run")
    assert "expected neighbours" in command("submit", "run", "--fill", "neutral").err
    done = command("submit", "run", "--out", "file.json/x.csv")
    assert done.code == 2
    assert done.err.startswith("error: file.json/x.csv: cannot be written: ")
    assert not Path("pred.csv").exists()


def test_a_file_with_fewer_labels_than_it_must_have_is_not_written(command):
    run_of(ANSWERS, "run")
    lines = Path("run/verdicts.jsonl").read_text().splitlines(keepends=True)
    Path("run/verdicts.jsonl").write_text("".join(lines[:-1]))
    done = command("submit", "run")
    assert done.code == 2
    assert "no verdict on 'Ses02M_impro02_F000'; the run is damaged" in done.err
    assert not Path("pred.csv").exists()
