"""The strategy and the template of docs/extending.md do what the page says."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.prompting.templates import load_template
from ragemo.retrieval.guards import UNITS, Guard
from ragemo.retrieval.strategies import STRATEGIES, Queries, choose, load_strategies
from ragemo.types import Demonstration, Turn, Window
from tests.conftest import LABELS, make_turn
from tests.docs.pages import ROOT, blocks
from tests.retrieval.worlds import index_of, kin, turns

PAGE = ROOT / "docs/extending.md"


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page's strategy in a module outside of the package, registered by the page's line."""
    (code,) = [
        match[2]
        for block in blocks(PAGE)
        if (match := re.search(r"cat > (\w+\.py) <<'END'\n(.*)^END$", block.code, re.M | re.S))
    ]
    folder = tmp_path_factory.mktemp("outside")
    (folder / "same_place.py").write_text(code, encoding="utf-8")
    (line,) = re.findall(r"^STRATEGIES\[.*$", PAGE.read_text(encoding="utf-8"), re.M)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import_module("same_place")
    found = re.fullmatch(r'STRATEGIES\["([^"]+)"\] = "([^"]+)"', line)
    assert found
    # The page itself is run by other tests, perhaps in this process, and registers it as well.
    assert STRATEGIES.pop(found[1], found[2]) == found[2]
    return f"{found[1]}={found[2]}"


@pytest.fixture
def name(registered: str, monkeypatch: pytest.MonkeyPatch) -> str:
    found, _, place = registered.partition("=")
    monkeypatch.setitem(STRATEGIES, found, place)
    return found


def test_the_strategy_takes_the_nearest_of_the_same_place(name: str) -> None:
    said = ["near", "near", "far", "far", "near", "far"]
    examples = [make_turn(f"{word}", n, dialogue_id=f"d{n}") for n, word in enumerate(said)]
    index = index_of(examples, ["neu"] * 6)
    asked = index_of([make_turn("near", 3, dialogue_id="q")], ["neu"])
    queries = Queries(asked.turns, asked.window_vectors, np.full((1, 3), 1 / 3), Guard())

    def chosen(k: int, **options: int) -> list[int]:
        strategies = load_strategies([name], index, seed=0, options={name: options})
        return choose(strategies, index, queries, k).rows[0].tolist()

    assert chosen(6, apart=1) == [4, 2, 3, 0, 1, 5]
    assert chosen(3) == chosen(3, apart=2) == [1, 4, 2]
    assert chosen(3, apart=9) == [0, 1, 4]
    with pytest.raises(SettingsError, match=r"same-place\.apart: 0, expected a whole number"):
        chosen(3, apart=0)
    with pytest.raises(SettingsError, match="no option 'tolerance'; expected one of apart"):
        chosen(3, tolerance=1)


@settings(deadline=None, max_examples=30)
@given(examples=turns(), exclude=st.sampled_from(UNITS), k=st.integers(1, 6))
def test_the_strategy_leaks_nothing(
    registered: str, examples: list[Turn], exclude: str, k: int
) -> None:
    name, _, place = registered.partition("=")
    index = index_of(examples, ["neu"] * len(examples))
    beliefs = np.full((len(examples), 3), 1 / 3)
    queries = Queries(examples, index.window_vectors, beliefs, Guard(exclude))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STRATEGIES, name, place)
        found = choose(load_strategies([name], index, seed=0, options={}), index, queries, k)
    for query, turn in enumerate(examples):
        allowed = {row for row, one in enumerate(examples) if not kin(turn, one, exclude)}
        rows = [row for row in found.rows[query].tolist() if row >= 0]
        assert set(rows) <= allowed
        assert len(rows) == len(set(rows)) == min(k, len(allowed))


def test_the_template_shows_how_similar_each_is(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(PAGE) if block.language == "jinja"]
    assert block.name is not None
    (tmp_path / block.name).write_text(block.code, encoding="utf-8")
    template = load_template(str(tmp_path / block.name))
    window = Window((make_turn("what now", 1), make_turn("so glad", 2)))
    example = Demonstration(Window((make_turn("oh no", 0, dialogue_id="e"),)), "ang", 0.456)
    *_, last = template.render(window, [example], LABELS)
    assert last.content.split("\n") == [
        '0.46: "oh no" -> angry',
        'A: "what now"',
        'A: "so glad" ->',
    ]
    assert template.form == "label"
