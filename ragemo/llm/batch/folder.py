"""The files of a run that is asked by file, and how far each of them is.

    requests-0001.jsonl   requests to one model, as in `lines`
    answers-0001.jsonl    what came of them, as it came (no secrets in it)
    errors-0001.jsonl     likewise, where the endpoint keeps errors apart
    state.json            for each request file: how far it is, under which ids, since when

A request file is there before the state names it, and the state says that something is about to
be done before it is done: whoever goes on knows what may have happened and looks there.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ragemo.corpus.checked import NO_RECORD, typed
from ragemo.errors import RunFolderError
from ragemo.files import file_in, parse_json, sha256_bytes, write_bytes, write_json
from ragemo.llm.batch.lines import Outcome, read_outcome

Stage = Literal[
    "written", "uploading", "uploaded", "creating", "created", "fetched", "heard", "refused"
]

Kind = Literal["answers", "errors"]
"""Of an outcome's file."""

MOST_REQUESTS = 50_000
"""In a file: the limit of OpenAI's Batch API."""

MOST_BYTES = 200_000_000
"""Of a file: likewise."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """A request file and how far it is.

    Attributes:
        number: of the file, from 1.
        model: who is asked.
        requests: how many.
        sha256: of the file.
        able: what the endpoint was taken to be able to do when it was written.
        stage: "written"; "uploading" and "creating" before these calls are made, "uploaded" and
            "created" after them; "fetched" when the outcome is here; "heard" when its answers are
            in the run; "refused" where it was too much at once for the endpoint and its requests
            are to be put into smaller files.
        upload, batch: ids that the endpoint gave; empty before.
        status: of the batch in the endpoint's word.
        since: when this stage or status began, ISO 8601.
    """

    number: int
    model: str
    requests: int
    sha256: str
    able: dict[str, Any] = field(default_factory=dict)
    stage: Stage = "written"
    upload: str = ""
    batch: str = ""
    status: str = ""
    since: str = ""

    @property
    def is_open(self) -> bool:
        """Whether its outcome is awaited."""
        return self.stage in ("written", "uploading", "uploaded", "creating", "created")

    @property
    def is_away(self) -> bool:
        """Whether the endpoint has, or may have, a batch whose answers are not in the run."""
        return self.stage in ("creating", "created", "fetched")

    @property
    def age(self) -> float:
        """Seconds since this stage or status began."""
        try:
            return (datetime.now(UTC) - datetime.fromisoformat(self.since)).total_seconds()
        except (ValueError, TypeError):  # somebody has changed it
            return math.inf


class BatchFolder:
    """Request files, their outcomes and their state, in one folder; one process at a time.

    Raises:
        RunFolderError: if something there cannot be read or written, or was changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state = path / "state.json"
        self._names: dict[int, frozenset[str]] = {}
        self.run_id, self.shipments = self._read()

    def write(self, lines: Sequence[bytes], model: str, able: dict[str, Any]) -> Shipment:
        """A new request file, then its place in the state."""
        number = len(self.shipments) + 1
        data = b"".join(lines)
        shipment = Shipment(number, model, len(lines), sha256_bytes(data), able, since=_now())
        try:
            write_bytes(self.file("requests", shipment), data)
        except OSError as error:
            raise self._unusable(error) from None
        self.shipments.append(shipment)
        self._save()
        return shipment

    def change(self, shipment: Shipment, **fields: Any) -> Shipment:
        """A shipment that is further than it was; on disk when this returns."""
        changed = replace(shipment, **fields, since=_now())
        self.shipments[shipment.number - 1] = changed
        self._save()
        return changed

    def keep(self, shipment: Shipment, kind: Kind, data: bytes) -> None:
        """Put an outcome on disk as it came."""
        try:
            write_bytes(self.file(kind, shipment), data)
        except OSError as error:
            raise self._unusable(error) from None

    def file(self, kind: Literal["requests"] | Kind, shipment: Shipment) -> Path:
        """The path of one of a shipment's files."""
        return self.path / f"{kind}-{shipment.number:04}.jsonl"

    def requests(self, shipment: Shipment) -> bytes:
        """A request file as it was written.

        Raises:
            RunFolderError: if it is gone or was changed: it would not be what was meant.
        """
        path = self.file("requests", shipment)
        try:
            data = self._safe(path).read_bytes()
        except OSError as error:
            raise self._unusable(error) from None
        if sha256_bytes(data) != shipment.sha256:
            raise RunFolderError(f"{path}: changed since it was written; put it back, or run anew")
        return data

    def custom_ids(self, shipment: Shipment) -> frozenset[str]:
        """What the requests of a file are called."""
        if shipment.number not in self._names:
            lines = self.requests(shipment).splitlines()
            try:
                names = frozenset(str(parse_json(one)["custom_id"]) for one in lines)
            except (ValueError, TypeError, KeyError) as error:
                raise self._unusable(error) from None
            self._names[shipment.number] = names
        return self._names[shipment.number]

    def outcomes(self, shipment: Shipment) -> Iterator[Outcome | None]:
        """What came of the requests, line by line; None for a line that cannot be read."""
        for kind in ("answers", "errors"):
            path = self.file(kind, shipment)
            if not path.is_file():
                continue
            try:
                with self._safe(path).open("rb") as file:
                    for line in file:
                        if line.strip():
                            yield read_outcome(line)
            except OSError as error:
                raise self._unusable(error) from None

    def heard(self) -> None:
        """Say that all that came is in the run."""
        for shipment in [one for one in self.shipments if one.stage == "fetched"]:
            self.change(shipment, stage="heard")

    @property
    def away(self) -> list[Shipment]:
        """Shipments that were paid for, or may have been, and whose answers are not in the run."""
        return [shipment for shipment in self.shipments if shipment.is_away]

    @property
    def most_requests(self) -> int:
        """How many requests the endpoint takes in one file, as far as it has shown."""
        refused = [one.requests // 2 for one in self.shipments if one.stage == "refused"]
        return max(min([MOST_REQUESTS, *refused]), 1)

    @property
    def one_by_one(self) -> bool:
        """Whether the endpoint has shown that it takes no second file beside one."""
        return any(one.stage == "refused" for one in self.shipments)

    def _read(self) -> tuple[str, list[Shipment]]:
        try:
            record = parse_json(self._safe(self._state).read_bytes())
            shipments = [typed(Shipment, one) for one in record["files"]]
            if [one.number for one in shipments] != list(range(1, len(shipments) + 1)):
                raise ValueError("files are not numbered from 1")
            return str(record["run"]), shipments
        except FileNotFoundError:
            return uuid.uuid4().hex, []
        except (*NO_RECORD, OSError) as error:
            raise self._unusable(error) from None

    def _safe(self, path: Path) -> Path:
        """One of the files, if neither it nor the folder, which may be anybody's, leads out of the
        run's.
        """
        return file_in(self.path.parent, f"{self.path.name}/{path.name}")

    def _save(self) -> None:
        record = {"run": self.run_id, "files": [asdict(one) for one in self.shipments]}
        try:
            write_json(self._state, record)
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> RunFolderError:
        return RunFolderError(
            f"{self.path}: the batch files there cannot be used ({error}). If the disk is not full "
            "and the folder can be written, state.json is damaged"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
