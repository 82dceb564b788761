"""What shards of a run and shards of an index have in common, until all of them are merged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragemo.errors import RagemoError
from ragemo.files import differences, file_in, parse_json
from ragemo.types import Shard


@dataclass(frozen=True)
class Whole:
    """What all shards become.

    Attributes:
        name: "run" or "index".
        shard: what a shard's manifest says that it is.
        format: version of the layout of a shard's folder.
        command: what makes a shard, but for its file and options.
        fault: raised where shards cannot be used.
        free: names of what may differ between shards of one whole.
    """

    name: str
    shard: str
    format: int
    command: str
    fault: type[RagemoError]
    free: Collection[str] = ()


@dataclass(frozen=True)
class ShardFolder:
    """A shard as far as it is compared with others.

    Attributes:
        path: its folder.
        shard: which one it is.
        common: what its manifest says that is the same in all shards of a whole, as plain data.
    """

    path: Path
    shard: Shard
    common: Mapping[str, Any]


def read_shard_manifest(path: Path, whole: Whole) -> dict[str, Any]:
    """The manifest of a shard's folder, which may be anybody's, but for its kind and format.

    Raises:
        RagemoError: the whole's fault, if there is no shard of it, or one of another format.
    """
    file = path / "manifest.json"
    try:
        data = parse_json(file_in(path, file.name).read_bytes())
    except FileNotFoundError:
        raise whole.fault(
            f"{path}: no {whole.shard} here (no manifest.json); `{whole.command} FILE --shard 1/8 "
            f"--out {path}` makes one"
        ) from None
    except (OSError, ValueError) as error:
        raise whole.fault(f"{file}: not readable as JSON ({error})") from None
    if not isinstance(data, dict) or data.pop("kind", None) != whole.shard:
        raise whole.fault(f"{file}: not the manifest of a {whole.shard}")
    if (found := data.pop("format", None)) != whole.format:
        raise whole.fault(
            f"{file}: shard format {found!r}, this ragemo reads {whole.format}; make the shard anew"
        )
    return data


def check_shards(shards: Sequence[ShardFolder], whole: Whole) -> None:
    """Whether these are all shards of one whole, each once.

    Raises:
        RagemoError: the whole's fault, naming the shard that is of another one, there twice, or
            missing.
    """
    first = shards[0]
    for one in shards:
        differing = [
            f"{name} is {new!r}, there {old!r}"
            for name, old, new in differences(first.common, one.common)
            if name not in whole.free
        ]
        if differing:
            raise whole.fault(
                f"{one.path}: its shard {one.shard} is of another {whole.name} than that in "
                f"{first.path}: {'; '.join(differing[:5])}. Shards of one {whole.name} are made by "
                "the same command but for --shard and --out"
            )
    found: dict[int, ShardFolder] = {}
    for one in shards:
        other = found.setdefault(one.shard.number, one)
        if other is not one:
            raise whole.fault(
                f"{other.path} and {one.path} are both shard {one.shard}; give each shard once"
            )
    of = first.shard.of
    if missing := [number for number in range(1, of + 1) if number not in found]:
        named = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise whole.fault(
            f"{len(found)} of {of} shards are given; missing: {named}. Give their folders, too; "
            f"`{whole.command} ... --shard {missing[0]}/{of}` makes one"
        )
