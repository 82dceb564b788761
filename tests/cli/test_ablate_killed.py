"""An ablation that was killed, at any moment, and taken up again is the one that was not."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import yaml

from ragemo.ablation.results import AblationResult
from tests.ablation.worlds import result_files

KILLS = 2
AT_ONCE = 2
BRIEF = ("--bootstrap", 20, "--no-plots", "--quiet")


def write(axes):
    data = {"llm": {"model": "none"}, "ablation": {"name": "killed", "axes": axes}}
    Path("killed.yaml").write_text(yaml.safe_dump(data))
    return "killed.yaml"


def kill_when(process, there):
    """Kill a process without warning, as soon as something is there."""
    end = time.monotonic() + 200
    try:
        while not there():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "nothing came of it"
            time.sleep(0.002)
        begun = children(process.pid)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return begun


def children(parent):
    """Ids of the processes that a process has begun."""
    table = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [map(int, line.split()) for line in table.stdout.splitlines()]
    return {own for own, above in pairs if above == parent}


def alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # nobody may have waited for it


def stored():
    """The answers that are kept."""
    with closing(sqlite3.connect(os.environ["RAGEMO_ANSWERS"])) as base:
        return base.execute("SELECT count(*) FROM answers").fetchone()[0]


def test_no_answer_is_lost_and_none_asked_for_twice(
    command, start, test_file, scenario, monkeypatch
):
    scenario.script(
        answers=["happy", "neutral", "sad"], by_prompt=True, steps=[{"sleep": 0.02}] * 400
    )
    command_line = ["ablate", write({"prompt.context": [0, 1, 3], "retrieval.k": [0]})]
    command_line += ["--data", test_file, "--limit", 12, *BRIEF]
    for setting in (
        "llm.model=some-model",
        f"llm.concurrency={AT_ONCE}",
        "llm.attempts=1",
        f"llm.base_url={scenario.url}",
    ):
        command_line += ["--set", setting]
    asked, kept = set(), 0

    def check():
        """Nobody was asked twice in one go, nor again for an answer that was kept before."""
        nonlocal asked, kept
        new = [json.dumps(request["messages"]) for request in scenario.seen[total:]]
        again = asked.intersection(new)
        assert len(set(new)) == len(new)
        assert len(again) <= len(asked) - kept
        asked, kept = asked.union(new), stored()

    drawn = random.Random(5)
    total = 0
    for _ in range(KILLS):
        count = total + drawn.randrange(1, 12)
        process = start(*command_line, "--out", "killed", "--resume")
        kill_when(process, lambda count=count: len(scenario.seen) >= count)
        time.sleep(0.3)  # what was sent before
        check()
        total = len(scenario.seen)
    done = command(*command_line, "--out", "killed", "--resume")
    assert done.code == 0, done.err
    check()
    assert kept == len(asked)

    monkeypatch.setenv("RAGEMO_ANSWERS", "others.sqlite")
    assert command(*command_line, "--out", "whole").code == 0
    assert stored() == kept
    assert result_files(Path("killed")) == result_files(Path("whole"))


def test_its_workers_end_with_it(command, start, test_file, index):
    file = write({"retrieval.context_length": [0, 2], "retrieval.neighbours": [*range(10)]})
    command_line = ["ablate", file, "--data", test_file, "--index", index, "--limit", 12, *BRIEF]
    drawn = random.Random(6)
    finished = 0
    for _ in range(KILLS):
        process = start(*command_line, "--out", "killed", "--processes", 2, "--resume")
        count = finished + drawn.randrange(1, 4)

        def there(count=count):
            return len(list(Path("killed").glob("cells/*/verdicts.jsonl"))) >= count

        begun = kill_when(process, there)
        assert len(begun) >= 2
        end = time.monotonic() + 60
        while any(map(alive, begun)):
            assert time.monotonic() < end, "a worker outlived the process that began it"
            time.sleep(0.01)
        finished = len(list(Path("killed").glob("cells/*/verdicts.jsonl")))
        assert finished < 20, "all was done before the end came"
    done = command(*command_line, "--out", "killed", "--processes", 1, "--resume")
    assert done.code == 0, done.err
    assert command(*command_line, "--out", "whole", "--processes", 1).code == 0
    assert result_files(Path("killed")) == result_files(Path("whole"))
    for cell in AblationResult.open("whole").cells:
        runs = [Path(out, cell.run, "verdicts.jsonl").read_bytes() for out in ("killed", "whole")]
        assert runs[0] == runs[1]


def workers(parent):
    """Ids of those of its processes that run cells."""

    def command(process):
        try:
            return Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            return b""

    return {own for own in children(parent) if b"spawn_main" in command(own)}


def test_a_worker_that_is_killed_ends_in_words_and_the_rest_is_gone_on_with(
    command, start, test_file, index
):
    file = write({"retrieval.context_length": [0, 2, 4], "retrieval.neighbours": [*range(10)]})
    command_line = ["ablate", file, "--data", test_file, "--index", index, "--limit", 12, *BRIEF]
    process = start(*command_line, "--out", "killed", "--processes", 2)
    end = time.monotonic() + 200
    while not list(Path("killed").glob("cells/*/verdicts.jsonl")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "no cell was finished"
        time.sleep(0.002)
    begun = workers(process.pid)
    os.kill(max(begun), signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert "Traceback" not in said
    assert said.count("error: ") == 1
    assert "one of 2 processes was killed" in said
    assert "--resume and fewer --processes" in said
    assert not any(map(alive, begun))
    assert list(Path("killed").glob("cells/*/verdicts.jsonl"))
    done = command(*command_line, "--out", "killed", "--processes", 1, "--resume")
    assert done.code == 0, done.err
    assert len(AblationResult.open("killed").done) == 30
