"""Retrieval-augmented few-shot emotion recognition in conversation.

The names below are the public surface; each is loaded when it is first used, so that importing
ragemo costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ragemo.corpus import check_corpus, convert_corpus, read_corpus
    from ragemo.errors import RagemoError
    from ragemo.labels import LabelSet, load_labels
    from ragemo.llm import load_llm
    from ragemo.pipeline import calibrate, carry_out, estimate, make_plan, predict, vote
    from ragemo.retrieval.embedder import load_embedder
    from ragemo.retrieval.index import Index
    from ragemo.runs.run import Run
    from ragemo.runs.scores import score_run
    from ragemo.runs.submission import write_submission
    from ragemo.settings import Settings, resolve_settings
    from ragemo.voting.imported import read_ballots

_HOMES = {
    "Index": "ragemo.retrieval.index",
    "LabelSet": "ragemo.labels",
    "RagemoError": "ragemo.errors",
    "Run": "ragemo.runs.run",
    "Settings": "ragemo.settings",
    "calibrate": "ragemo.pipeline",
    "carry_out": "ragemo.pipeline",
    "check_corpus": "ragemo.corpus",
    "convert_corpus": "ragemo.corpus",
    "estimate": "ragemo.pipeline",
    "load_embedder": "ragemo.retrieval.embedder",
    "load_labels": "ragemo.labels",
    "load_llm": "ragemo.llm",
    "make_plan": "ragemo.pipeline",
    "predict": "ragemo.pipeline",
    "read_ballots": "ragemo.voting.imported",
    "read_corpus": "ragemo.corpus",
    "resolve_settings": "ragemo.settings",
    "score_run": "ragemo.runs.scores",
    "vote": "ragemo.pipeline",
    "write_submission": "ragemo.runs.submission",
}

__all__ = [
    "Index",
    "LabelSet",
    "RagemoError",
    "Run",
    "Settings",
    "calibrate",
    "carry_out",
    "check_corpus",
    "convert_corpus",
    "estimate",
    "load_embedder",
    "load_labels",
    "load_llm",
    "make_plan",
    "predict",
    "read_ballots",
    "read_corpus",
    "resolve_settings",
    "score_run",
    "vote",
    "write_submission",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ragemo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public surface."""
    return [*__all__, "__version__"]
