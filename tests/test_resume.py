"""A run that was stopped, however, and taken up again is the run that was not stopped."""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ragemo
from ragemo.errors import RunFolderError
from ragemo.pipeline import make_plan, predict
from ragemo.runs.run import Run
from ragemo.settings import DEFAULT_TRANSCRIPT, resolve_settings
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.fake_llm import FakeLLM

SAMPLE = Path(ragemo.__file__).parent / "sample" / "test.json"
DERIVED = (
    "manifest.json",
    "panel.json",
    "predictions.csv",
    "review.csv",
    "utterances.jsonl",
    "verdicts.jsonl",
)
COUNT = 24


def answered(folder):
    """(utterance, voter, sample) of every whole line."""
    lines = (folder / "ballots.jsonl").read_bytes().split(b"\n")[:-1]
    ballots = [json.loads(line) for line in lines]
    return [(ballot["utterance_id"], ballot["voter"], ballot["sample"]) for ballot in ballots]


def derived(folder):
    return {name: (folder / name).read_bytes() for name in DERIVED}


FINISH = """
import sys
from pathlib import Path
from ragemo import Run, load_llm, predict, read_corpus, resolve_settings
corpus, folder = Path(sys.argv[2]), Path(sys.argv[4])
settings = resolve_settings(Run.open(folder).manifest["settings"])
llm = load_llm(settings.llm)
predict(read_corpus(corpus), settings, folder, llm=llm, resume=True)
predict(read_corpus(corpus), settings, folder.parent / "whole", llm=llm)
"""
"""Resume a run, and make another one without a stop: one process, since loading takes longest."""


def stop_after(process, folder, count, how):
    """Send a signal as soon as so many answers are there; what the process then said."""
    file = folder / "ballots.jsonl"
    end = time.monotonic() + 60
    try:
        while not file.exists() or file.read_bytes().count(b"\n") < count:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end, "no answers came"
            time.sleep(0.005)
        process.send_signal(how)
        return process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()


def test_a_real_model_killed_and_interrupted_goes_on_where_it_stopped(
    start, tmp_path, smollm2_folder
):
    folder = tmp_path / "run"
    command = ["predict", SAMPLE, "--out", folder, "--llm", smollm2_folder, "--limit", COUNT]
    command += ["--k", 0, "--context", 1, "--template", "zero-shot"]

    stop_after(start(*command), folder, 2, signal.SIGKILL)
    first = answered(folder)
    assert 2 <= len(first) < COUNT

    process = start(*command, "--resume")
    _, said = stop_after(process, folder, len(first) + 2, signal.SIGINT)
    assert process.returncode == 130
    assert "interrupted; go on with the same command and --resume" in said
    assert "Traceback" not in said
    second = answered(folder)
    assert second[: len(first)] == first
    assert len(first) < len(second) < COUNT
    assert not (folder / "verdicts.jsonl").exists()

    with (folder / "ballots.jsonl").open("ab") as file:
        file.write(b'{"utterance_id": "Ses01')  # as a kill in the middle of a line leaves it
    process = start(*command, "--resume", program=FINISH)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert answered(folder)[: len(second)] == second
    assert len(answered(folder)) == len(set(answered(folder))) == COUNT
    assert derived(folder) == derived(tmp_path / "whole")


CORPUS = make_corpus([{"dialogue": "ab"[n // 5], "text": f"word {n}"} for n in range(10)])
SETTINGS = resolve_settings({}, {"retrieval.k": 0, "llm.samples": 3})


def say(prompt, sample):
    return LABELS.words[(int(prompt.utterance_id[2:]) + sample * sample) % 3]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    predict(CORPUS, SETTINGS, folder, llm=FakeLLM(say))
    return folder


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1))
def test_killed_at_any_byte_a_run_ends_the_same(tmp_path_factory, whole, share):
    folder = tmp_path_factory.mktemp("cut")
    for name in ("manifest.json", "utterances.jsonl"):
        (folder / name).write_bytes((whole / name).read_bytes())
    ballots = (whole / "ballots.jsonl").read_bytes()
    (folder / "ballots.jsonl").write_bytes(ballots[: round(share * len(ballots))])
    before = answered(folder)

    llm = FakeLLM(say)
    predict(CORPUS, SETTINGS, folder, llm=llm, resume=True)
    assert derived(folder) == derived(whole)
    assert len(set(answered(folder))) == len(answered(folder)) == 30
    assert len(llm.asked) == 30 - len(before)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"llm.samples": 4}, "settings.llm.samples was 3, now 4"),
        ({"prompt.context": 2}, "settings.prompt.context was 4, now 2"),
        ({"seed": 1}, "settings.seed was 0, now 1"),
        ({"limit": 5}, "settings.limit was None, now 5"),
        ({"corpus.transcript": "longest"}, f"transcript was {DEFAULT_TRANSCRIPT!r}, now 'longest'"),
        ({"prompt.template": "zero-shot"}, "settings.prompt.template was 'few-shot'"),
        ({"voting.pool": "majority"}, "settings.voting.pool was 'log', now 'majority'"),
        ({"voting.vary": ["context"]}, "settings.voting.vary was [], now ['context']"),
        ({"voting.stop": "none"}, "settings.voting.stop was 'posterior', now 'none'"),
    ],
)
def test_other_settings_are_refused_by_name(whole, changed, named):
    before = derived(whole)
    other = resolve_settings(SETTINGS.model_dump(), changed)
    llm = FakeLLM(say)
    with pytest.raises(RunFolderError) as caught:
        predict(CORPUS, other, whole, llm=llm, resume=True)
    assert named in str(caught.value)
    assert llm.asked == []
    assert derived(whole) == before


def test_another_corpus_or_model_is_refused_by_name(whole):
    other = make_corpus([{"dialogue": "a", "text": "else"}])
    with pytest.raises(RunFolderError, match=r"corpus\.sha256 was"):
        predict(
            type(other)(other.dialogues, LABELS, "plain", other.path, "1" * 64),
            SETTINGS,
            whole,
            llm=FakeLLM(say),
            resume=True,
        )
    llm = FakeLLM(say)
    llm.name = "other"
    with pytest.raises(RunFolderError, match=r"llm\.model was 'fake', now 'other'"):
        predict(CORPUS, SETTINGS, whole, llm=llm, resume=True)
    with pytest.raises(RunFolderError, match=r"others was \[\], now \[\{'model': 'other'\}\]"):
        predict(CORPUS, SETTINGS, whole, llm=FakeLLM(say), others=[llm], resume=True)


def test_a_run_of_an_earlier_format_is_refused_and_left_as_it_is(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    file = tmp_path / "run" / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 1}))
    before = derived(tmp_path / "run")
    llm = FakeLLM(say)
    with pytest.raises(RunFolderError, match=r"run format 1, this ragemo reads 4; predict again"):
        predict(CORPUS, SETTINGS, tmp_path / "run", llm=llm, resume=True)
    assert llm.asked == []
    assert derived(tmp_path / "run") == before


def test_how_fast_it_is_asked_may_change(whole):
    faster = resolve_settings(
        SETTINGS.model_dump(), {"llm.concurrency": 2, "llm.timeout": 5, "llm.attempts": 1}
    )
    before = derived(whole)
    predict(CORPUS, faster, whole, llm=FakeLLM(say), resume=True)
    assert derived(whole) == before


def test_two_at_once_in_one_folder_are_refused(tmp_path):
    plan = make_plan(CORPUS, SETTINGS, llm=FakeLLM(say), embedder=FakeEmbedder())
    with Run.create(tmp_path / "run", plan.manifest, plan.utterances):
        llm = FakeLLM(say)
        with pytest.raises(RunFolderError, match="another process is writing"):
            predict(CORPUS, SETTINGS, tmp_path / "run", llm=llm, resume=True)
        assert llm.asked == []
    assert predict(CORPUS, SETTINGS, tmp_path / "run", llm=FakeLLM(say), resume=True).verdicts()


def test_resume_of_nothing_is_a_new_run(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new", tmp_path / "empty"):
        predict(CORPUS, SETTINGS, folder, llm=FakeLLM(say), resume=True)
        assert len(answered(folder)) == 30
