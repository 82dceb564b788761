"""What a run was begun with, and whether it is what is asked now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragemo.errors import RagemoError, RunFolderError
from ragemo.files import differences, file_in, parse_json
from ragemo.runs.checks import check_manifest
from ragemo.settings import PACE

KIND = "run"
"""Tells a run's manifest from an index's."""

FORMAT = 4
"""Version of the layout of a run's folder."""

SHARD = "shard of a run"
"""The kind of what is a part of a run, see `ragemo.runs.shards`."""

FREE_TO_CHANGE = tuple(f"settings.llm.{name}" for name in PACE)
"""Settings that change how fast answers come and not what they are."""


def check_new_run(path: Path) -> None:
    """Whether a new run may be made at `path`.

    Raises:
        RunFolderError: if something is there already.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if (path / "manifest.json").is_file() and (path / "utterances.jsonl").is_file():
        raise RunFolderError(
            f"{path} already holds a run; pass --resume to finish it, or choose another --out"
        )
    raise RunFolderError(f"{path} exists and is not a run; choose another --out")


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a run's folder.

    Raises:
        RunFolderError: if there is no run, or it is damaged or of another format version.
    """
    file = path / "manifest.json"
    try:
        manifest = parse_json(file_in(path, file.name).read_bytes())
    except FileNotFoundError:
        raise RunFolderError(
            f"{path}: no run here (no manifest.json); `ragemo predict FILE --out {path}` makes one"
        ) from None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{file}: not readable as JSON ({error})") from None
    if isinstance(manifest, dict) and manifest.get("kind") == SHARD:
        raise RunFolderError(
            f"{path}: only a shard of a run; `ragemo runs merge SHARD... --out RUN` makes the run "
            "of all its shards"
        )
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise RunFolderError(f"{file}: not the manifest of a run")
    if manifest.get("format") != FORMAT:
        raise RunFolderError(
            f"{file}: run format {manifest.get('format')!r}, this ragemo reads {FORMAT}; predict "
            "again"
        )
    try:
        check_manifest(manifest)
    except (ValueError, RagemoError) as error:
        raise RunFolderError(f"{file}: not what ragemo writes ({error})") from None
    return manifest


def check_same(path: Path, begun: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Whether a run may be gone on with.

    Raises:
        RunFolderError: naming the settings that differ.
    """
    differing = [
        f"{name} was {old!r}, now {new!r}"
        for name, old, new in differences(begun, asked)
        if name not in FREE_TO_CHANGE
    ]
    if differing:
        raise RunFolderError(
            f"{path}: cannot be resumed, since it was begun with other settings: "
            + "; ".join(differing[:5])
            + ". Ask for the same settings, or choose another --out"
        )
