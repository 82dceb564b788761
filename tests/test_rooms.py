"""Data flows downward: a room imports the words and the rooms before it, never those after it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ragemo"

WORDS = {
    *("cores", "errors", "files", "garbage", "labels", "minilm", "models", "progress", "settings"),
    *("shards", "types"),
}
"""Modules that any room may import; they import no room."""

ROOMS = (
    "corpus",
    "retrieval",
    "prompting",
    "llm",
    "voting",
    "scoring",
    "runs",
    "pipeline",
    "ablation",
    "classifier",
    "report",
    "cli",
)
"""In the order of the data."""

HEAVY = {
    "datasets",
    "faiss",
    "joblib",
    "lancedb",
    "matplotlib",
    "mlflow",
    "onnx",
    "onnxruntime",
    "openai",
    "pandas",
    "pyarrow",
    "ray",
    "sentence_transformers",
    "sklearn",
    "torch",
    "transformers",
    "wandb",
}
"""Libraries that take long to load: only what uses them loads them."""

BASES = {"classifier.py": {"sklearn"}}
"""A class is a subclass from the moment its module is imported, so what its bases are of cannot be
loaded later. Nothing imports the module until somebody asks for its class."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def home_of(module: Path) -> str:
    """The room or word that a module belongs to; "" for the package itself."""
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return {"__init__": "", "__main__": "cli"}.get(parts[0], parts[0])


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The full names of modules and members that a piece of code imports, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports here give the full name"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def at_import_time(tree: ast.Module) -> Iterator[ast.stmt]:
    """The import statements that run when the module is imported."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending += node.orelse
        else:
            pending += ast.iter_child_nodes(node)


def wrong_imports(tree: ast.AST, home: str) -> list[str]:
    """Imports of ragemo's modules that `home` may not import."""
    allowed = WORDS | {home, "__version__"}
    if home in ROOMS:
        allowed |= set(ROOMS[: ROOMS.index(home)])
    return [
        f"line {line}: {name}"
        for name, line in imports(tree)
        if name.split(".")[0] == "ragemo" and name.split(".")[1] not in allowed
    ]


def heavy_imports(tree: ast.Module) -> list[str]:
    """Heavy libraries that the module loads when it is imported."""
    return [
        f"line {line}: {name}"
        for statement in at_import_time(tree)
        for name, line in imports(statement)
        if name.split(".")[0] in HEAVY
    ]


def module_id(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


def test_every_module_has_a_place() -> None:
    assert {home_of(module) for module in MODULES} == {"", *WORDS, *ROOMS}


@pytest.mark.parametrize("module", [m for m in MODULES if home_of(m)], ids=module_id)
def test_data_flows_downward(module: Path) -> None:
    assert wrong_imports(ast.parse(module.read_text(encoding="utf-8")), home_of(module)) == []


@pytest.mark.parametrize("module", MODULES, ids=module_id)
def test_faiss_is_loaded_in_one_place_which_tells_it_of_the_processor(module: Path) -> None:
    loads = any(
        name.split(".")[0] == "faiss" for name, _ in imports(ast.parse(module.read_text("utf-8")))
    )
    assert loads == (module_id(module) == "retrieval/stores/faiss_library.py")


@pytest.mark.parametrize("module", MODULES, ids=module_id)
def test_heavy_libraries_are_loaded_where_they_are_used(module: Path) -> None:
    allowed = BASES.get(module_id(module), set())
    found = heavy_imports(ast.parse(module.read_text(encoding="utf-8")))
    assert [line for line in found if line.split(": ")[1].split(".")[0] not in allowed] == []


@pytest.mark.parametrize(
    ("code", "home", "wrong"),
    [
        (
            "import ragemo.retrieval.index",
            "corpus",
            ["line 1: ragemo.retrieval.index"],
        ),
        ("def f():\n    import ragemo.cli", "pipeline", ["line 2: ragemo.cli"]),
        ("from ragemo import pipeline", "runs", ["line 1: ragemo.pipeline"]),
        ("from ragemo.corpus import read_corpus", "labels", ["line 1: ragemo.corpus.read_corpus"]),
        ("from ragemo.corpus import read_corpus", "retrieval", []),
    ],
)
def test_a_wrong_import_is_found(code: str, home: str, wrong: list[str]) -> None:
    assert wrong_imports(ast.parse(code), home) == wrong


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("import torch", 1),
        ("try:\n    from torch import nn\nexcept ImportError:\n    nn = None", 1),
        ("class A:\n    import faiss", 1),
        ("def f():\n    import torch", 0),
        ("if TYPE_CHECKING:\n    import openai\nelse:\n    import pandas", 1),
    ],
)
def test_a_heavy_import_is_found(code: str, count: int) -> None:
    assert len(heavy_imports(ast.parse(code))) == count
