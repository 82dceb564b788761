"""The scripts for SLURM that the docs show make what one job makes, though a task is killed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.docs.running import as_a_user, make_workplace, run_bash, shorten
from tests.docs.slurm import write_sbatch

KILLED = """#!/bin/bash
if [ "$1" = predict ] && [ "${{SLURM_ARRAY_TASK_ID:-}}" = 2 ] && [ ! -e killed ]; then
  touch killed
  PYTHONPATH={root} {python} -m ragemo "$@" &
  until [ -e parts/run-2/manifest.json ]; do sleep 0.01; done
  kill -9 $!
  exit 137
fi
exec {ragemo} "$@"
"""
"""A `ragemo` whose second task is killed when it has begun to label, once."""

ONE_JOB = """
ragemo index build ragemo/sample/train.json --quiet --out indexes/one
ragemo predict ragemo/sample/test.json --index indexes/one --llm none --quiet --out runs/one
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_array_makes_what_one_job_makes_though_a_task_is_killed(
    tmp_path: Path, warm: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make_workplace(tmp_path / "place")
    for name, dialogues in (("train", 8), ("test", 7)):
        shorten(place / f"ragemo/sample/{name}.json", slice(dialogues))
    as_a_user(monkeypatch, place)
    programs = tmp_path / "programs"
    programs.mkdir()
    write_sbatch(programs / "sbatch", tmp_path / "jobs")
    ragemo = Path(warm["PATH"].partition(os.pathsep)[0]) / "ragemo"
    (programs / "ragemo").write_text(
        KILLED.format(root=ROOT, python=sys.executable, ragemo=ragemo), encoding="utf-8"
    )
    (programs / "ragemo").chmod(0o755)
    environment = {**warm, "PATH": f"{programs}{os.pathsep}{warm['PATH']}"}

    page = ROOT / "docs/scale.md"
    submitted, again = (b.code for b in blocks(page) if "sbatch" in b.code)
    run_bash(submitted, place, environment, "submitted")
    outputs = "".join(path.read_text() for path in sorted(place.glob("slurm-*.out")))
    assert (place / "killed").exists()
    assert (place / "indexes/array").is_dir(), outputs
    assert not (place / "runs/array").exists(), "what depends on a task that failed is not begun"
    run_bash(again, place, environment, "submitted again")
    run_bash(ONE_JOB, place, warm, "in one job")
    assert contents(place / "indexes/array") == contents(place / "indexes/one")
    assert contents(place / "runs/array") == contents(place / "runs/one")
