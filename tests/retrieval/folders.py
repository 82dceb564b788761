"""Indexes' folders as the tests of them see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ragemo.files import canonical_json, sha256_bytes, sha256_file, write_json

FILES = ["manifest.json", "utterances.jsonl", "vectors.npy", "voters.npz", "windows.npy"]


def contents(folder: Path) -> dict[str, bytes]:
    """The files' bytes by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sign(folder: Path, **changes: Any) -> None:
    """Make the manifest fit the files again, as somebody who wants to deceive would."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8")) | changes
    manifest["files"] = {name: sha256_file(folder / name) for name in manifest["files"]}
    del manifest["checksum"]
    manifest["checksum"] = sha256_bytes(canonical_json(manifest).encode())
    write_json(folder / "manifest.json", manifest)
