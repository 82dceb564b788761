"""The pages that make promises, taken apart: code blocks, code words, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
RUN = [ROOT / "README.md", *DOCS]
"""Pages whose examples are run."""
PAGES = [*RUN, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]

DATA = {"yaml", "json", "jsonl", "csv", "jinja"}
"""Languages of blocks that are files: "...save as `NAME`:" stands on the line before them."""
KNOWN = {"bash", "python", "text", *DATA}

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        reason: why it is not run ("no-run: reason" after the language), or None.
        name: the file that it is the content of, or None.
        line: 1-based line of its first line of code.
    """

    language: str
    code: str
    reason: str | None
    name: str | None
    line: int


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, _, rest = match["info"].partition(" ")
        before = text[: match.start()].rstrip().rpartition("\n")[2]
        named = re.search(r"`([\w.-]+)`:$", before)
        found.append(
            Block(
                language=language,
                code=match["code"],
                reason=rest.removeprefix("no-run:").strip() if rest else None,
                name=named[1] if named and language in DATA else None,
                line=text.count("\n", 0, match.start()) + 2,
            )
        )
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks and comments."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def code_words(page: Path) -> list[str]:
    """What stands between backticks, outside of blocks."""
    return [" ".join(word.split()) for word in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(page))]
