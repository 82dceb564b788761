"""Every example of the README runs, from nothing; apart from the pages of docs, for two cores.

The first of them is run by the installed program, the others by a warm one. A language model takes
seconds an answer on a CPU, so fewer utterances are asked about.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.docs.running import as_a_user, make_workplace, run_blocks

FEWER = (("--limit 12", "--limit 4"), ('"limit": 12', '"limit": 4'))


def test_examples_run(
    tmp_path: Path,
    minilm_folder: Path,
    environment: dict[str, str],
    warm: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_workplace(tmp_path)
    as_a_user(monkeypatch, tmp_path)
    found = blocks(ROOT / "README.md")
    for old, new in FEWER:
        assert any(old in block.code for block in found)
        found = [replace(block, code=block.code.replace(old, new)) for block in found]
    first = next(place for place, block in enumerate(found) if block.reason is None)
    run_blocks("README.md", found[: first + 1], tmp_path, environment)
    run_blocks("README.md", found[first + 1 :], tmp_path, warm)
