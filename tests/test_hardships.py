"""Full disks, folders that cannot be written, two at once, and a clock that goes back."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess

import pytest
import yaml

from ragemo.ablation.results import AblationResult
from ragemo.runs.run import Run
from tests.cli.conftest import SAMPLE
from tests.llm.conftest import scenario, scripted_port

__all__ = ["scenario", "scripted_port"]

COUNT = 9


@pytest.fixture
def corpus(tmp_path):
    rows = json.loads((SAMPLE / "test.json").read_text(encoding="utf-8"))[:12]
    (tmp_path / "test.json").write_text(json.dumps(rows), encoding="utf-8")
    return tmp_path / "test.json"


@pytest.fixture
def begin(start, tmp_path):
    """Begin a command in the test's folder."""

    def begin(*arguments, answers="answers.sqlite", program=None):
        environment = os.environ | {"RAGEMO_ANSWERS": str(tmp_path / answers)}
        environment.pop("OPENAI_BASE_URL", None)
        return start(*arguments, cwd=tmp_path, env=environment, program=program)

    return begin


def finish(process):
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def asking(corpus, scenario, out="run", *more):
    return [
        *("predict", corpus, "--llm", "some-model", "--base-url", scenario.url, "--out", out),
        *("--k", 0, "--set", "llm.constraint=none", *more),
    ]


def refused(done, *words):
    code, out, err = done
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (code, out, len(errors)) == (2, "", 1), done
    assert "Errno" not in errors[0]
    for word in words:
        assert word in errors[0]


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of so many bytes; a test that may not have one is skipped."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    try:
        yield lambda options: subprocess.run(
            ["mount", "-o", f"remount,{options}", str(folder)], check=True
        )
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_a_run_in_words_and_it_goes_on_with_room(
    begin, corpus, tmp_path, scenario
):
    scenario.script(answers=["happy " + "x" * 1500])
    finish(begin(*asking(corpus, scenario, "calm"), answers="calm.sqlite"))
    with small_disk(tmp_path / "small", "64k") as remount:
        arguments = asking(corpus, scenario, "small/run")
        refused(finish(begin(*arguments)), "small/run", "No space left", "--resume")
        remount("size=4m")
        code, _, err = finish(begin(*arguments, "--resume"))
        assert code == 0, err
        full = Run.open(tmp_path / "small/run")
        assert full.verdicts() == Run.open(tmp_path / "calm").verdicts()
        assert len(full.ballots()) == COUNT


def test_a_full_disk_for_the_answers_is_told(begin, corpus, tmp_path, scenario):
    with small_disk(tmp_path / "small", "24k"):
        done = finish(begin(*asking(corpus, scenario), answers="small/a.sqlite"))
        refused(done, "small/a.sqlite", "full")


def test_a_disk_that_cannot_be_written_is_told(begin, corpus, tmp_path, scenario):
    with small_disk(tmp_path / "small", "1m") as remount:
        remount("ro")
        done = finish(begin(*asking(corpus, scenario, "small/run")))
        refused(done, "small/run", "Read-only")
    assert scenario.seen == []


def test_two_begin_one_run_at_once(begin, corpus, tmp_path, scenario):
    scenario.script(*[{"sleep": 0.3}] * COUNT)
    both = [begin(*asking(corpus, scenario)) for _ in range(2)]
    done = sorted((finish(process) for process in both), key=lambda one: one[0])
    assert done[0][0] == 0, done
    refused(done[1], "run")
    run = Run.open(tmp_path / "run")
    assert len(run.verdicts()) == len(run.ballots()) == COUNT
    assert (run.path / "ballots.jsonl").read_bytes().count(b"\n") == COUNT


def test_two_go_on_with_one_run_at_once(begin, corpus, tmp_path, scenario):
    scenario.script(*[{"status": 400, "body": {}}] * COUNT)
    assert finish(begin(*asking(corpus, scenario)))[0] == 3
    scenario.script(*[{"sleep": 0.3}] * COUNT)
    arguments = asking(corpus, scenario, "run", "--resume")
    both = [begin(*arguments) for _ in range(2)]
    codes = sorted(finish(process)[0] for process in both)
    assert codes in ([0, 0], [0, 2])
    assert all(verdict.label for verdict in Run.open(tmp_path / "run").verdicts())


def test_two_runs_share_their_answers_at_once(begin, corpus, tmp_path, scenario):
    both = [begin(*asking(corpus, scenario, out)) for out in ("one", "two")]
    assert [finish(process)[0] for process in both] == [0, 0]
    one, two = (Run.open(tmp_path / out) for out in ("one", "two"))
    assert one.verdicts() == two.verdicts()
    assert COUNT <= len(scenario.seen) <= 2 * COUNT
    assert finish(begin(*asking(corpus, scenario, "three")))[0] == 0
    assert len(scenario.seen) <= 2 * COUNT


def test_two_ablations_in_one_folder_at_once(begin, corpus, tmp_path, scenario):
    design = {
        "retrieval": {"k": 0},
        "llm": {"model": "some-model", "base_url": scenario.url, "constraint": "none"},
        "ablation": {"name": "x", "axes": {"prompt.context": [0, 2]}},
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(design))
    scenario.script(*[{"sleep": 0.2}] * COUNT)
    arguments = ["ablate", "x.yaml", "--data", corpus, "--out", "sweep", "--bootstrap", 5]
    both = [begin(*arguments) for _ in range(2)]
    codes = [finish(process)[0] for process in both]
    assert set(codes) <= {0, 2, 3}
    code, _, err = finish(begin(*arguments, "--resume"))
    assert code == 0, err
    result = AblationResult.open(tmp_path / "sweep")
    assert [(cell.n, cell.errors) for cell in result.cells] == [(result.cells[0].n, 0)] * 2


BACK = """
import itertools, time
now, steps = time.time(), itertools.count()
time.time = lambda: now - 3600 * next(steps)
from ragemo.__main__ import main; main()
"""


def test_a_clock_that_goes_back_changes_nothing(begin, corpus, tmp_path, scenario):
    late = {"status": 429, "body": {}, "headers": {"retry-after": "0.05"}}
    scenario.script(late)
    done = finish(begin(*asking(corpus, scenario, "calm"), answers="calm.sqlite"))
    scenario.script(late)
    back = finish(begin(*asking(corpus, scenario, "back"), program=BACK))
    assert (done[0], back[0]) == (0, 0), back
    calm, other = (Run.open(tmp_path / out) for out in ("calm", "back"))
    assert calm.verdicts() == other.verdicts()
    assert all(0 <= ballot.usage.seconds < 60 for ballot in other.ballots())
