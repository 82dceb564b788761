"""An index's folder: where it may be written, what its manifest says, whether it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ragemo.errors import IndexFolderError
from ragemo.files import canonical_json, indented_json, sha256_bytes, sha256_file

FORMAT = 1
"""Version of the folder's layout."""


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Whether an index may be written to `path`.

    Raises:
        IndexFolderError: if an index is there and `overwrite` is not set, or anything else is.
    """
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        if not (path / "manifest.json").is_file() or not (path / "vectors.npy").is_file():
            raise IndexFolderError(f"{path} exists and is not an index; choose another --out")
        if not overwrite:
            raise IndexFolderError(
                f"{path} already holds an index; pass --overwrite to replace it, or choose "
                "another --out"
            )


def read_manifest(path: Path) -> dict[str, Any]:
    """An index's manifest, checked against its own checksum.

    Raises:
        IndexFolderError: if it is missing, damaged, or of another format version.
    """
    file = path / "manifest.json"
    try:
        text = file.read_text(encoding="utf-8")
        manifest = json.loads(text)
    except FileNotFoundError:
        raise IndexFolderError(
            f"{path}: no index here (no manifest.json); `ragemo index build FILE --out {path}` "
            "makes one"
        ) from None
    except (OSError, ValueError) as error:
        raise IndexFolderError(f"{file}: not readable as JSON ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != "index":
        raise IndexFolderError(f"{file}: not the manifest of an index")
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    checksum = sha256_bytes(canonical_json(content).encode())
    if checksum != manifest.get("checksum") or text != indented_json(manifest):
        raise IndexFolderError(
            f"{file}: its checksum does not fit; it was damaged or edited. Build the index anew"
        )
    if manifest.get("format") != FORMAT:
        raise IndexFolderError(
            f"{path}: index format {manifest.get('format')!r}, this ragemo reads {FORMAT}; "
            "build the index anew"
        )
    return manifest


def verify_index(path: Path) -> list[str]:
    """Check every byte of an index against its manifest.

    Returns:
        One line per file that is missing or differs; empty if all is well.

    Raises:
        IndexFolderError: if there is no readable manifest to check against.
    """
    manifest = read_manifest(path)
    problems = []
    for name, expected in manifest["files"].items():
        file = path / Path(name).name
        if not file.is_file():
            problems.append(f"{file}: missing")
        elif sha256_file(file) != expected:
            problems.append(f"{file}: SHA-256 differs from the manifest; it was damaged or edited")
    return problems
