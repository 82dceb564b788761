"""Every example of the README and the docs runs, block by block, in a user's folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DATA, KNOWN, PAGES, ROOT, RUN, blocks, page_id


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """The user's, with this Python's programs first and no endpoint."""
    programs = str(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    kept.pop("RAGEMO_PRICES", None)
    return {**kept, "PATH": programs + os.pathsep + os.environ["PATH"], "COLUMNS": "100"}


def make_workplace(folder: Path) -> Path:
    """A folder with the files of a clone that the examples name."""
    shutil.copytree(ROOT / "ragemo/sample", folder / "ragemo/sample")
    shutil.copytree(ROOT / "configs", folder / "configs")
    return folder


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
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        place = f"{page_id(page)}:{block.line}"
        if block.reason is not None:
            continue
        if block.language == "bash":
            run_bash(block.code, folder, environment, place)
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.code, page_id(page), "exec"), names)
        elif block.language in DATA:
            assert block.name, f'{place}: say before it in which file it goes ("save as `NAME`:")'
            (folder / block.name).write_text(block.code, encoding="utf-8")


@pytest.fixture(scope="module")
def sample_index(
    tmp_path_factory: pytest.TempPathFactory, minilm_folder: Path, environment: dict[str, str]
) -> Path:
    """The index that docs/index.md tells its readers to make; that page is run by this."""
    folder = make_workplace(tmp_path_factory.mktemp("sample"))
    run_page(ROOT / "docs/index.md", folder, environment)
    return folder / "indexes/sample"


@pytest.mark.parametrize("page", [p for p in RUN if p.name != "index.md"], ids=page_id)
def test_examples_run(
    page: Path,
    tmp_path: Path,
    sample_index: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_workplace(tmp_path)
    if page.name != "README.md":  # it begins from nothing
        shutil.copytree(sample_index, tmp_path / "indexes/sample")
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "RAGEMO_PRICES"):
        monkeypatch.delenv(name, raising=False)
    run_page(page, tmp_path, environment)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_blocks_are_of_a_known_kind(page: Path) -> None:
    for block in blocks(page):
        place = f"{page_id(page)}:{block.line}"
        assert block.language in KNOWN, f"{place}: {block.language!r} is not of {sorted(KNOWN)}"
        assert block.reason is None or block.reason, f"{place}: no-run needs a reason"
        if block.language == "python" and block.reason is not None:
            compile(block.code, place, "exec")


@pytest.mark.parametrize("page", RUN, ids=page_id)
def test_files_that_are_written_are_used(page: Path) -> None:
    found = blocks(page)
    for position, block in enumerate(found):
        if block.name:
            later = [other.code for other in found[position + 1 :] if other.reason is None]
            assert any(block.name in code for code in later), f"{block.name} is used by no example"
