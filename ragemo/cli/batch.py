"""What `ragemo predict` says of asking by file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ragemo.llm.batch import BatchOptions
    from ragemo.llm.protocol import LanguageModel
    from ragemo.pipeline import Plan
    from ragemo.settings import Settings

Batch = Annotated[
    bool, typer.Option("--batch", help="Ask by OpenAI's Batch API: half the price, within a day.")
]
BatchFiles = Annotated[
    bool,
    typer.Option(
        "--batch-files", help="Only write the requests, for a runner such as `vllm run-batch`."
    ),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="With --batch: submit, stop, and go on with --resume.")
]
Poll = Annotated[
    float | None,
    typer.Option(help="With --batch: seconds between two looks, at most (default: 60)."),
]


def batch_options(
    batch: bool, files: bool, no_wait: bool, poll: float | None
) -> BatchOptions | None:
    """How to ask by file; None: call by call.

    Raises:
        SettingsError: if the flags do not go together.
    """
    from ragemo.errors import SettingsError
    from ragemo.llm.batch import LONGEST_POLL, BatchOptions

    if batch and files:
        raise SettingsError("--batch and --batch-files: choose one of them")
    if (no_wait or poll is not None) and not batch:
        raise SettingsError("--no-wait and --poll go with --batch")
    if poll is not None and not 0 < poll <= 3600:
        raise SettingsError(f"--poll is {poll:g}, expected seconds above 0 and up to 3600")
    if not (batch or files):
        return None
    return BatchOptions(files, not no_wait, LONGEST_POLL if poll is None else poll)


def describe_batch(
    how: BatchOptions | None, plan: Plan, settings: Settings, models: Sequence[LanguageModel]
) -> str:
    """What a plan would take by file, as a further line; nothing if it is not asked so.

    Raises:
        SettingsError: if a model cannot be asked by file.
    """
    from ragemo.pipeline.batch_cost import estimate_batch

    if how is None:
        return ""
    expected = estimate_batch(plan, settings, models)
    parts = [
        f"by file: rounds of answers to wait for: {expected.rounds:,} at most",
        f"requests: {expected.requests:,}",
        f"files: {expected.files:,} ({expected.bytes / 1e6:.1f} MB)",
    ]
    if expected.cost is None:
        parts.append("price unknown")
    else:
        parts.append(f"at most ${expected.cost:.4f} in a batch" if expected.cost else "free")
    return "\n" + ", ".join(parts)
