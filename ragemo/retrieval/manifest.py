"""An index's manifest: what the folder says of itself, and whether its files are what it says.

The folder's layout is told in `ragemo.retrieval.folder`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ragemo.errors import IndexFolderError
from ragemo.files import (
    canonical_json,
    file_in,
    indented_json,
    parse_json,
    sha256_bytes,
    sha256_file,
)
from ragemo.retrieval.checksums import remembered_sha256
from ragemo.retrieval.stores import store_name

SHARD = "shard of an index"
"""The kind of what is a part of one, see `ragemo.retrieval.shards`."""

FORMAT = 4
"""Version of the folder's layout."""

FILES = ("utterances.jsonl", "vectors.npy", "voters.npz", "windows.npy")
"""What the manifest has a hash of; also of the store's file or files, where there is a store."""


def read_manifest(path: Path) -> dict[str, Any]:
    """An index's manifest, checked against its own checksum.

    Raises:
        IndexFolderError: if it is missing, damaged, or of another format version.
    """
    file = path / "manifest.json"
    try:
        data = file_in(path, file.name).read_bytes()
        manifest = parse_json(data)
    except FileNotFoundError:
        raise IndexFolderError(
            f"{path}: no index here (no manifest.json); `ragemo index build FILE --out {path}` "
            "makes one"
        ) from None
    except (OSError, ValueError) as error:
        raise IndexFolderError(f"{file}: not readable as JSON ({error})") from None
    if isinstance(manifest, dict) and manifest.get("kind") == SHARD:
        raise IndexFolderError(
            f"{path}: only a shard of an index; `ragemo index merge SHARD... --out INDEX` makes "
            "the index of all its shards"
        )
    if not isinstance(manifest, dict) or manifest.get("kind") != "index":
        raise IndexFolderError(f"{file}: not the manifest of an index")
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    checksum = sha256_bytes(canonical_json(content).encode())
    if checksum != manifest.get("checksum") or data != indented_json(manifest).encode():
        raise IndexFolderError(
            f"{file}: its checksum does not fit; it was damaged or edited. Build the index anew"
        )
    if manifest.get("format") != FORMAT:
        raise IndexFolderError(
            f"{path}: index format {manifest.get('format')!r}, this ragemo reads {FORMAT}; "
            "build the index anew"
        )
    store = store_name(str(manifest.get("factory")))
    files = manifest.get("files")
    if not isinstance(files, dict) or _without_store(files, store) != set(FILES):
        expected = FILES if store is None else (*FILES, store)
        raise IndexFolderError(f"{file}: expected the files {', '.join(expected)}")
    return manifest


def _without_store(files: Iterable[str], store: str | None) -> set[str]:
    """The names of files but for the store's own, of which there is one at least."""
    names = set(files)
    own = {name for name in names if store and (name == store or name.startswith(f"{store}/"))}
    return names - own if own or store is None else set()


def verify_index(path: Path, *, remembered: bool = False) -> list[str]:
    """Check every byte of an index against its manifest.

    Args:
        path: the index's folder.
        remembered: whether a large file that was checked before and has not changed since may
            stay unread, see `ragemo.retrieval.checksums`.

    Returns:
        One line per file that is missing or differs; empty if all is well.

    Raises:
        IndexFolderError: if there is no readable manifest to check against.
    """
    manifest = read_manifest(path)
    sha256_of = remembered_sha256 if remembered else sha256_file
    problems = []
    for name, expected in manifest["files"].items():
        file = path / name
        try:
            found = sha256_of(file_in(path, name))
        except FileNotFoundError:
            problems.append(f"{file}: missing")
            continue
        except OSError as error:
            problems.append(f"{file}: cannot be read: {error}")
            continue
        if found != expected:
            problems.append(f"{file}: SHA-256 differs from the manifest; it was damaged or edited")
    store = store_name(str(manifest["factory"]))
    if store is not None:  # which of its files count is for its library to say
        known = {path / name for name in manifest["files"]}
        strange = [entry for entry in files_below(path / store) if entry not in known]
        problems += [f"{entry}: the manifest does not name it; remove it" for entry in strange]
    return problems


def files_below(folder: Path) -> list[Path]:
    """All files and links in a folder and its folders; links are not followed."""
    return sorted(entry for entry in folder.rglob("*") if entry.is_symlink() or not entry.is_dir())
