"""Run the examples of a page, block by block, in a user's folder."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ragemo.retrieval.embedding.embedder import OnnxEmbedder
from ragemo.retrieval.embedding.vector_cache import with_cache
from tests.docs.pages import DATA, ROOT, Block, blocks, page_id


def make_workplace(folder: Path) -> Path:
    """A folder with the files of a clone that the examples name."""
    shutil.copytree(ROOT / "ragemo/sample", folder / "ragemo/sample")
    shutil.copytree(ROOT / "configs", folder / "configs")
    return folder


def shorten(file: Path, which: slice) -> None:
    """Keep some of the dialogues of a GenSEC file, so that a test takes seconds."""
    records = json.loads(file.read_text(encoding="utf-8"))
    names = [record["id"].rpartition("_")[0] for record in records]
    kept = [*dict.fromkeys(names)][which]
    file.write_text(json.dumps([r for r, name in zip(records, names, strict=True) if name in kept]))


def run_bash(code: str, folder: Path, environment: dict[str, str], place: str) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=240,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{place}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")


def run_page(page: Path, folder: Path, environment: dict[str, str]) -> None:
    """Run a page's blocks one after the other in a folder, which is the current one."""
    run_blocks(page_id(page), blocks(page), folder, environment)


def run_blocks(page: str, found: list[Block], folder: Path, environment: dict[str, str]) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for block in found:
        place = f"{page}:{block.line}"
        if block.reason is not None:
            continue
        if block.language == "bash":
            run_bash(block.code, folder, environment, place)
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.code, page, "exec"), names)
        elif block.language in DATA:
            assert block.name, f'{place}: say before it in which file it goes ("save as `NAME`:")'
            (folder / block.name).write_text(block.code, encoding="utf-8")


def as_a_user(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Stand in the folder, with no endpoint; what another example embedded need not be again."""
    monkeypatch.chdir(folder)
    load = OnnxEmbedder.load
    monkeypatch.setattr(OnnxEmbedder, "load", lambda *how, **more: with_cache(load(*how, **more)))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "RAGEMO_PRICES"):
        monkeypatch.delenv(name, raising=False)
