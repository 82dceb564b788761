"""What the pages name exists: commands, flags, settings, files, links; and what exists is named."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import ragemo
from ragemo.cli import app
from ragemo.corpus import FORMATS
from ragemo.corpus.transcripts import REFERENCE, STRATEGIES
from ragemo.labels import LabelSet, available_label_sets
from ragemo.prompting.templates import available_templates
from ragemo.scoring.predictions import Predictions, ScoredUtterance
from ragemo.scoring.score import score
from ragemo.settings import Settings
from tests.docs.pages import PAGES, ROOT, RUN, blocks, code_words, page_id, prose
from tests.test_rooms import ROOMS

COMMANDS: Any = typer.main.get_command(app)
FOLDERS = ("ragemo", "configs", "docs", "indexes", "scripts", "tests")


def options_of(words: list[str]) -> set[str] | None:
    """The options of `ragemo WORDS...`; None if there is no such command."""
    command = COMMANDS
    found = {"--help"}
    while True:
        found |= {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        below = getattr(command, "commands", None)
        if not below or not words or words[0].startswith("-"):
            return found
        if words[0] not in below:
            return None
        command, words = below[words[0]], words[1:]


def commands_in(code: str) -> Iterator[list[str]]:
    """The words after `ragemo` of each command of a piece of shell."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for position, word in enumerate(words):
            if word == "ragemo" and (
                position == 0 or words[position - 1] in {"&&", "|", ";", "do"}
            ):
                rest = words[position + 1 :]
                ends = [n for n, other in enumerate(rest) if other in {"&&", "||", "|", ";", "&"}]
                yield rest[: min(ends, default=len(rest))]


def all_options() -> set[str]:
    pending, found = [COMMANDS], {"--help"}
    while pending:
        command = pending.pop()
        pending += getattr(command, "commands", {}).values()
        found |= {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
    return found


def setting_names() -> set[str]:
    names = set()
    for name, field in Settings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        names |= {name} if inner is None else {name, *(f"{name}.{key}" for key in inner)}
    return names


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_and_flags_exist(page: Path) -> None:
    shell = [block.code for block in blocks(page) if block.language == "bash"]
    shell += [word for word in code_words(page) if word.startswith("ragemo ")]
    for words in (words for code in shell for words in commands_in(code)):
        options = options_of(words)
        assert options is not None, f"no command ragemo {' '.join(words)}"
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in options, f"{word} in: ragemo {' '.join(words)}"
    for word in code_words(page):
        if word.startswith("--"):
            assert word.split()[0].partition("=")[0] in all_options(), f"no flag {word}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_settings_exist(page: Path) -> None:
    names = setting_names()
    sections = {name.partition(".")[0] for name in names if "." in name}
    for word in code_words(page):
        if match := re.fullmatch(r"(?:--set )?(\w+)\.(\w+)(?:=.*)?", word):
            section, name = match.groups()
            if section in sections and f"{section}.{name}" not in names:
                assert (ROOT / word).exists(), f"no setting {section}.{name}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_and_links_exist(page: Path) -> None:
    for word in code_words(page):
        if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*[\w/]", word):
            made = word.startswith("indexes/") and word != "indexes/README.md"
            assert made or (ROOT / word).exists(), f"no file {word}"
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"no file {target}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, f"no heading {target}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("corpora", [*FORMATS, *available_label_sets()]),
        ("transcripts", [*STRATEGIES, REFERENCE]),
        ("prompts", available_templates()),
        ("python", ragemo.__all__),
    ],
)
def test_pages_are_complete(name: str, words: list[str]) -> None:
    named = set(code_words(ROOT / f"docs/{name}.md"))
    assert [word for word in words if word not in named] == []


def test_every_page_is_in_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", prose(ROOT / "docs/index.md")))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}


def test_every_variable_is_on_the_models_page() -> None:
    sources = (ROOT / "ragemo").rglob("*.py")
    used = {
        name
        for source in sources
        for name in re.findall(r"\b(?:RAGEMO|OPENAI)_[A-Z_]+\b", source.read_text("utf-8"))
        if f'"{name}"' in source.read_text("utf-8")
    }
    assert used
    assert used <= set(code_words(ROOT / "docs/models.md"))


def test_every_key_of_a_score_is_on_the_runs_page() -> None:
    labels = LabelSet.from_dict({"name": "two", "labels": ["calm", "upset"]})
    one = ScoredUtterance("u", "d", "calm", "calm")
    keys = {"run", *score(Predictions.of([one], labels), training_counts=None).to_dict()}
    page = (ROOT / "docs/runs.md").read_text(encoding="utf-8")
    table = page.partition("| key | what it is |")[2].partition("\n\n")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert {word for cell in first_cells for word in re.findall(r"`(\w+)`", cell)} == keys


@pytest.mark.parametrize("page", RUN, ids=page_id)
def test_no_figures_are_still_to_come(page: Path) -> None:
    """A name in capitals that fills a line keeps the place of figures that nobody put in."""
    assert re.findall(r"^[ \t]*[A-Z][A-Z0-9_]+[ \t]*$", prose(page), re.MULTILINE) == []


def test_settings_page_is_what_the_script_writes() -> None:
    script = runpy.run_path(str(ROOT / "scripts/write_settings_page.py"))
    committed = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert committed == script["settings_page"](), "run python scripts/write_settings_page.py"


def test_contributing_lists_the_rooms_in_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == ROOMS


def test_citation() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == ragemo.__version__
    assert citation["authors"] == [{"name": "The ragemo authors"}]
    assert {"message", "title", "type", "license"} <= set(citation)
