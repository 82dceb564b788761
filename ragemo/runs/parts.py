"""A run in parts: each is written whole or not at all, and all together become the run's files.

    parts/blocks.json  how large a block is
    parts/000000/      what one block of the corpus became
      utterances.jsonl, ballots.jsonl, verdicts.jsonl, examples.jsonl, predictions.csv
                       as in a run, but for their headers
      review.csv       lines of the run's, each after its place in the order of doubt and a tab
      panel.json       the panels that decided, in the order in which verdicts name them

Memory does not grow with the number of utterances, here nor when the parts are joined.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import merge
from operator import index
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ragemo.corpus.checked import NO_RECORD
from ragemo.errors import RunFolderError
from ragemo.files import (
    file_in,
    indented_json,
    parse_json,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)
from ragemo.runs.records import line

FILES = ("utterances.jsonl", "ballots.jsonl", "verdicts.jsonl", "examples.jsonl")
TABLES = ("predictions.csv", "review.csv")
AT_ONCE = 200
"""Files that are open at once while lines are put in order."""


@dataclass(frozen=True)
class Part:
    """What one block of a corpus became.

    Attributes:
        lines: file name -> its text; of `FILES`, as in a run.
        predictions: the table, with its header.
        review: the table, with its header.
        order: of each row of `review` a text by which rows of all parts are put in order.
        panels: plain records, in the order in which verdicts name them.
    """

    lines: Mapping[str, str]
    predictions: str
    review: str
    order: Sequence[str]
    panels: Sequence[Mapping[str, Any]]


def part_folder(run: Path, number: int) -> Path:
    """Where a part of a run lies until all are joined."""
    return run / "parts" / f"{number:06d}"


def begin_parts(run: Path, size: int) -> None:
    """Keep the parts that are there if they are of blocks of one size; else they are made anew.

    Args:
        run: the run's folder.
        size: utterances in a block, about.

    Raises:
        RunFolderError: if that cannot be written.
    """
    name, blocks = "parts/blocks.json", {"utterances": size}
    try:
        try:
            if parse_json(file_in(run, name).read_bytes()) == blocks:
                return
        except (FileNotFoundError, ValueError):
            pass
        drop_parts(run)
        (run / "parts").mkdir()
        write_json(run / name, blocks)
    except OSError as error:
        raise RunFolderError(f"{run}: cannot be written: {error}") from None


def write_part(run: Path, number: int, part: Part) -> None:
    """Put a part on disk, whole.

    Raises:
        RunFolderError: if it cannot be written.
    """
    path = part_folder(run, number)
    try:
        if not path.resolve().is_relative_to(run.resolve()):
            raise OSError(f"{path} leads out of its folder; remove the link")
        with whole_folder(path) as folder:
            for name in FILES:
                write_text(folder / name, part.lines[name])
            header, *rows = part.review.splitlines(keepends=True)
            placed = [f"{place}\t{row}" for place, row in zip(part.order, rows, strict=True)]
            write_text(folder / "review.csv", header + "".join(placed))
            write_text(folder / "predictions.csv", part.predictions)
            write_json(folder / "panel.json", {"parts": list(part.panels)})
    except OSError as error:
        raise RunFolderError(
            f"{run}: a part of the run could not be written: {error}. Make room and go on with "
            "--resume; all earlier parts are kept"
        ) from None


class JoinedParts:
    """All parts of a run as its files, read line by line.

    Args:
        folders: of the parts, in the corpus's order.
        scratch: a folder for files that are gone at the end.

    Raises:
        RunFolderError: if a part is missing or damaged.
    """

    def __init__(self, folders: Sequence[Path], scratch: Path) -> None:
        self._folders = folders
        self._scratch = scratch
        self._panels = [self._read_panels(folder) for folder in folders]
        found: dict[str, Mapping[str, Any]] = {}
        for panels in self._panels:
            for panel in panels:
                known = found.setdefault(json.dumps(panel["left_out"]), panel)
                if known != panel:
                    raise RunFolderError(
                        f"{folders[0].parent}: parts were decided by different weights; remove "
                        "the folder and predict again"
                    )
        # The order in which a run names them, see `ragemo.retrieval.retrieve.retrieve`.
        self.panels = sorted(found.values(), key=lambda panel: tuple(panel["left_out"]))

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of one of `FILES`."""
        if name == "examples.jsonl":
            return self._examples()
        if name == "verdicts.jsonl" and len(self.panels) > 1:
            return self._verdicts()
        return self._all(name)

    def table(self, name: str) -> Iterator[bytes]:
        """The lines of one of `TABLES`, the header first."""
        if name == "review.csv":
            return self._review()
        return self._rows(name)

    def _all(self, name: str) -> Iterator[bytes]:
        for folder in self._folders:
            yield from _lines(folder / name)

    def _rows(self, name: str) -> Iterator[bytes]:
        for number, folder in enumerate(self._folders):
            lines = _lines(folder / name)
            header = next(lines, None)
            if header is None:
                raise _damaged(folder / name, "it has no header")
            if number == 0:
                yield header
            yield from lines

    def _examples(self) -> Iterator[bytes]:
        """Each once, where it comes first; there are no more than the index has."""
        seen: set[str] = set()
        for folder in self._folders:
            file = folder / "examples.jsonl"
            for text in _lines(file):
                try:
                    name = str(parse_json(text)["turns"][-1]["utterance_id"])
                except NO_RECORD as error:
                    raise _damaged(file, error) from None
                if name not in seen:
                    seen.add(name)
                    yield text

    def _verdicts(self) -> Iterator[bytes]:
        """With the places of their panels among all."""
        places = {json.dumps(panel["left_out"]): row for row, panel in enumerate(self.panels)}
        for folder, panels in zip(self._folders, self._panels, strict=True):
            own = [places[json.dumps(panel["left_out"])] for panel in panels]
            file = folder / "verdicts.jsonl"
            for text in _lines(file):
                try:
                    record = parse_json(text)
                    yield line({**record, "part": own[record["part"]]}).encode()
                except NO_RECORD as error:
                    raise _damaged(file, error) from None

    def _review(self) -> Iterator[bytes]:
        """Most doubtful first; equals in the corpus's order."""
        yield next(self._rows("review.csv"))
        files = [folder / "review.csv" for folder in self._folders]
        with ExitStack() as stack:
            while len(files) > AT_ONCE:
                files = [
                    _merged(files[start : start + AT_ONCE], self._scratch, stack)
                    for start in range(0, len(files), AT_ONCE)
                ]
            for text in merge(*(_placed(file) for file in files), key=_place):
                yield text.partition(b"\t")[2]

    @staticmethod
    def _read_panels(folder: Path) -> list[Mapping[str, Any]]:
        file = folder / "panel.json"
        try:
            panels = parse_json(_safe(file).read_bytes())["parts"]
            return [{**panel, "left_out": [*map(index, panel["left_out"])]} for panel in panels]
        except (*NO_RECORD, OSError) as error:
            raise _damaged(file, error) from None


def _safe(file: Path) -> Path:
    """A part's file, if neither it nor its folder, which may be anybody's, leads out of the run's.

    Raises:
        OSError: if it does, or there is none.
    """
    run = file.parents[2]
    return file_in(run, str(file.relative_to(run)))


def _lines(file: Path) -> Iterator[bytes]:
    """The lines of a part's file; it was written whole, so none is torn."""
    with _safe(file).open("rb") as lines:
        for text in lines:
            if not text.endswith(b"\n"):
                raise _damaged(file, "its last line is torn")
            yield text


def _damaged(file: Path, why: object) -> RunFolderError:
    return RunFolderError(
        f"{file}: not what ragemo wrote ({why}); remove the folder {file.parent} and go on with "
        "--resume: this part is made again"
    )


def _placed(file: Path) -> Iterator[bytes]:
    rows = _lines(file)
    next(rows, None)
    yield from rows


def _place(text: bytes) -> bytes:
    return text.partition(b"\t")[0]


def _merged(files: Sequence[Path], scratch: Path, stack: ExitStack) -> Path:
    """The rows of several files in order, as one; it is removed with the stack."""
    folder = stack.enter_context(TemporaryDirectory(dir=scratch))
    together = Path(folder) / "review.csv"
    with together.open("wb") as out:
        out.write(b"\n")
        rows: Iterator[bytes] = merge(*(_placed(file) for file in files), key=_place)
        out.writelines(rows)
    return together


def joined_files(folders: Sequence[Path], scratch: Path) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Name and lines of a run's files, made of its parts, as they are to be written one by one.

    Args:
        folders: of the parts, in the corpus's order.
        scratch: as for `JoinedParts`.

    Raises:
        RunFolderError: if a part is damaged.
        OSError: if one cannot be read.
    """
    joined = JoinedParts(folders, scratch)
    yield "utterances.jsonl", joined.lines("utterances.jsonl")
    yield "ballots.jsonl", joined.lines("ballots.jsonl")
    yield "panel.json", [indented_json({"parts": list(joined.panels)}).encode()]
    yield "review.csv", joined.table("review.csv")
    yield "predictions.csv", joined.table("predictions.csv")
    yield "examples.jsonl", joined.lines("examples.jsonl")
    yield "verdicts.jsonl", joined.lines("verdicts.jsonl")


def join_parts(
    run: Path, folders: Sequence[Path], take_ballots: Callable[[Iterable[bytes]], None]
) -> None:
    """Make a run's files of its parts, each whole, `verdicts.jsonl` last; then drop the parts.

    Args:
        run: the run's folder.
        folders: of the parts, in the corpus's order.
        take_ballots: replaces what the run holds of ballots.

    Raises:
        RunFolderError: if a part is damaged or the files cannot be written; the parts stay.
    """
    try:
        for name, lines in joined_files(folders, run):
            if name == "ballots.jsonl":
                take_ballots(lines)
            else:
                write_lines(run / name, lines)
    except OSError as error:
        raise RunFolderError(
            f"{run}: the parts could not be joined: {error}. Make room and go on with --resume; "
            "all parts are kept"
        ) from None
    drop_parts(run)


def drop_parts(run: Path) -> None:
    """Remove the parts of a run that is finished."""
    shutil.rmtree(run / "parts", ignore_errors=True)


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write a file whole, line by line."""
    with whole_file(path) as file:
        file.writelines(lines)
