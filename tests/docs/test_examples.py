"""Every example of the docs runs (the README's in a file of its own, on the whole sample)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, KNOWN, PAGES, ROOT, RUN, blocks, page_id
from tests.docs.running import as_a_user, make_workplace, run_page, shorten


def shorter_workplace(folder: Path) -> Path:
    """A workplace with a third of the training dialogues, of every session."""
    make_workplace(folder)
    shorten(folder / "ragemo/sample/train.json", slice(None, None, 3))
    return folder


@pytest.fixture(scope="module")
def sample_index(
    tmp_path_factory: pytest.TempPathFactory, minilm_folder: Path, warm: dict[str, str]
) -> Path:
    """The index that docs/index.md tells its readers to make; that page is run by this."""
    folder = shorter_workplace(tmp_path_factory.mktemp("sample"))
    run_page(ROOT / "docs/index.md", folder, warm)
    return folder / "indexes/sample"


@pytest.mark.parametrize("page", [p for p in DOCS if p.name != "index.md"], ids=page_id)
def test_examples_run(
    page: Path,
    tmp_path: Path,
    sample_index: Path,
    warm: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorter_workplace(tmp_path)
    shutil.copytree(sample_index, tmp_path / "indexes/sample")
    as_a_user(monkeypatch, tmp_path)
    run_page(page, tmp_path, warm)


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
