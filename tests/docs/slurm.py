"""What `sbatch` does, on this machine and at once: the parts of it that the docs' scripts rest on.

A job script is copied; its `#SBATCH` lines count up to its first command, and less than what the
command line says. Every task of an array is a process of its own, begun together with the others,
in the folder it was submitted from and with its output in a file. A job whose dependency failed is
never begun, and submitting it is no error.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """#!/bin/sh
PYTHONPATH={root} exec {python} -m tests.docs.slurm {jobs} "$@"
"""


def write_sbatch(file: Path, jobs: Path) -> None:
    """A program `sbatch`; the exit codes of its jobs' tasks are kept in the folder `jobs`."""
    jobs.mkdir()
    root = Path(__file__).resolve().parents[2]
    file.write_text(PROGRAM.format(root=root, python=sys.executable, jobs=jobs), encoding="utf-8")
    file.chmod(0o755)


def submit(jobs: Path, arguments: list[str]) -> str:
    """Run a job, if all that it depends on went well. What `sbatch` says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--array", default="")
    parser.add_argument("--cpus-per-task", type=int)
    parser.add_argument("--dependency", default="")
    parser.add_argument("--kill-on-invalid-dep")
    parser.add_argument("--parsable", action="store_true")
    parser.add_argument("--wrap")
    parser.add_argument("script", nargs="?", type=Path)
    asked = parser.parse_args(arguments)
    script = f"#!/bin/sh\n{asked.wrap}\n" if asked.script is None else asked.script.read_text()
    options = parser.parse_args([*directives(script), *arguments])
    number = str(len(list(jobs.iterdir())) + 1)
    before = options.dependency.removeprefix("afterok:")
    codes = (jobs / before).read_text().split() if before else []
    if all(code == "0" for code in codes):
        done = run(script, number, tasks_of(options.array))
    else:
        done = [1]
    (jobs / number).write_text(" ".join(map(str, done)))
    return number if options.parsable else f"Submitted batch job {number}"


def directives(script: str) -> list[str]:
    """The options in a script."""
    found: list[str] = []
    for line in script.splitlines():
        if line.startswith("#SBATCH "):
            found += shlex.split(line.removeprefix("#SBATCH "), comments=True)
        elif line and not line.startswith("#"):
            break
    return found


def tasks_of(array: str) -> list[int]:
    """The numbers of an array's tasks; none of a job that is no array."""
    numbers: list[int] = []
    for part in filter(None, array.split(",")):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def run(script: str, number: str, tasks: list[int]) -> list[int]:
    """The exit codes of a job's tasks."""
    of_job = {"SLURM_JOB_ID": number, "SLURM_SUBMIT_DIR": str(Path.cwd())}
    of_array = {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_COUNT": str(len(tasks))}
    places = {
        f"slurm-{number}_{task}.out": {**of_array, "SLURM_ARRAY_TASK_ID": str(task)}
        for task in tasks
    } or {f"slurm-{number}.out": {}}
    with tempfile.TemporaryDirectory() as spool:
        copy = Path(spool) / "slurm_script"
        copy.write_text(script)
        copy.chmod(0o700)
        begun = []
        for name, own in places.items():
            with Path(name).open("wb") as output:
                begun.append(
                    subprocess.Popen(
                        [copy],
                        env={**os.environ, **of_job, **own},
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )
        return [task.wait() for task in begun]


if __name__ == "__main__":
    print(submit(Path(sys.argv[1]), sys.argv[2:]))
