"""Retrieval-augmented few-shot emotion recognition in conversation.

The names below are the public surface; each is loaded when it is first used, so that importing
ragemo costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ragemo.ablation.design import read_design
    from ragemo.ablation.results import AblationResult
    from ragemo.ablation.sweep import ablate
    from ragemo.classifier import RagEmoClassifier
    from ragemo.corpus import check_corpus, convert_corpus, read_corpus
    from ragemo.errors import RagemoError
    from ragemo.labels import LabelSet, load_labels
    from ragemo.llm import load_llm
    from ragemo.pipeline import calibrate, carry_out, estimate, make_plan, predict, vote
    from ragemo.report.write import write_report
    from ragemo.retrieval.embedding.embedder import load_embedder
    from ragemo.retrieval.index import Index
    from ragemo.runs.compare import compare_runs
    from ragemo.runs.export import export_predictions
    from ragemo.runs.run import Run
    from ragemo.runs.scores import score_run
    from ragemo.runs.submission import write_submission
    from ragemo.runs.tracking import log_run
    from ragemo.settings import Settings, resolve_settings
    from ragemo.voting.imported import read_ballots

_HOMES = {
    "AblationResult": "ragemo.ablation.results",
    "Index": "ragemo.retrieval.index",
    "LabelSet": "ragemo.labels",
    "RagEmoClassifier": "ragemo.classifier",
    "RagemoError": "ragemo.errors",
    "Run": "ragemo.runs.run",
    "Settings": "ragemo.settings",
    "ablate": "ragemo.ablation.sweep",
    "calibrate": "ragemo.pipeline",
    "carry_out": "ragemo.pipeline",
    "check_corpus": "ragemo.corpus",
    "compare_runs": "ragemo.runs.compare",
    "convert_corpus": "ragemo.corpus",
    "estimate": "ragemo.pipeline",
    "export_predictions": "ragemo.runs.export",
    "load_embedder": "ragemo.retrieval.embedding.embedder",
    "load_labels": "ragemo.labels",
    "load_llm": "ragemo.llm",
    "log_run": "ragemo.runs.tracking",
    "make_plan": "ragemo.pipeline",
    "predict": "ragemo.pipeline",
    "read_ballots": "ragemo.voting.imported",
    "read_corpus": "ragemo.corpus",
    "read_design": "ragemo.ablation.design",
    "resolve_settings": "ragemo.settings",
    "score_run": "ragemo.runs.scores",
    "vote": "ragemo.pipeline",
    "write_report": "ragemo.report.write",
    "write_submission": "ragemo.runs.submission",
}

__all__ = [
    "AblationResult",
    "Index",
    "LabelSet",
    "RagEmoClassifier",
    "RagemoError",
    "Run",
    "Settings",
    "ablate",
    "calibrate",
    "carry_out",
    "check_corpus",
    "compare_runs",
    "convert_corpus",
    "estimate",
    "export_predictions",
    "load_embedder",
    "load_labels",
    "load_llm",
    "log_run",
    "make_plan",
    "predict",
    "read_ballots",
    "read_corpus",
    "read_design",
    "resolve_settings",
    "score_run",
    "vote",
    "write_report",
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
