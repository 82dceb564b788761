"""Bring request files to an endpoint, wait for the batches, and fetch what came of them.

Before a file is uploaded or a batch created, the state says so. Where it said so already, a
process was killed or the endpoint's answer got lost: then its lists are looked through first,
by a name and by metadata that hold the run's and the file's own mark.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from ragemo.errors import EndpointError, PendingError
from ragemo.llm.batch.api import BatchApi
from ragemo.llm.batch.folder import BatchFolder, Kind, Shipment
from ragemo.llm.batch.lines import read_outcome
from ragemo.llm.batch.reports import Batch
from ragemo.llm.sending.faults import CallError

ENDED = ("completed", "expired", "cancelled", "failed")
"""Words for a batch of which nothing more comes."""

TOO_MUCH = "token_limit_exceeded"
"""OpenAI's code for more tokens than an account may have waiting at a time."""

FIRST_POLL = 1.0
"""Seconds before the first look at a batch; each later wait is half as long again."""

PATIENCE = 30
"""Requests that may fail in passing, one after the other."""

LONGEST_SLEEP = 3_600.0
"""Seconds between two requests at most, whatever the endpoint asks for."""

LATE = 600.0
"""Seconds that an outcome is waited for that has fewer lines than the batch says; what is missing
then is asked, and paid for, again.
"""

FETCHES = 3
"""How often one that is waited for is fetched at least: a download may be cut short."""


class Courier:
    """Takes what is open in a folder through the endpoint's Batch API.

    Args:
        folder: of the run.
        api: of the endpoint.
        wait: whether to wait for the batches.
        poll: seconds between two looks at them, at most.
        say: told in words what happens.
    """

    def __init__(
        self,
        folder: BatchFolder,
        api: BatchApi,
        *,
        wait: bool,
        poll: float,
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._api = api
        self._wait = wait
        self._poll = poll
        self._say = say
        self._fetches: Counter[int] = Counter()
        self._refusals = 0  # one after the other, of files that were too much at once

    async def deliver(self) -> list[Shipment]:
        """Submit all that is open, wait for it, and fetch it.

        Returns:
            Those that were fetched, or refused as too much at once.

        Raises:
            PendingError: if all is submitted and shall not be waited for.
            EndpointError: if a batch was not accepted, or the endpoint cannot be used.
        """
        done: list[Shipment] = []
        pause, failures = min(FIRST_POLL, self._poll), 0
        while opened := self._whose_turn():
            moved = False
            try:
                for shipment in opened:
                    now = await self._go_on(shipment)
                    moved = moved or now.stage != shipment.stage
                    if not now.is_open:
                        done.append(now)
                failures = 0
            except CallError as error:
                failures += 1
                # A batch takes up to a day: who waits for it can wait as long as is asked for.
                passes = error.transient or (self._wait and error.wait > 0)
                if not passes or failures >= PATIENCE:
                    raise EndpointError(
                        f"{error}. {_resume(opened)}", retryable=error.transient
                    ) from None
                self._say(f"{error}; trying again")
                moved = False
                await asyncio.sleep(min(error.wait, LONGEST_SLEEP))
            else:
                if moved:
                    continue
                if not self._wait:
                    raise PendingError(f"submitted: {_named(opened)}. {_resume(opened)}")
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, self._poll)
        return done

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    def _whose_turn(self) -> list[Shipment]:
        """All that is open; one at a time where the endpoint takes no more at once."""
        opened = [one for one in self._folder.shipments if one.is_open]
        if self._folder.one_by_one:
            return [one for one in opened if one.stage == "created"] or opened[:1]
        return opened

    async def _go_on(self, shipment: Shipment) -> Shipment:
        """One step."""
        folder, api = self._folder, self._api
        if shipment.stage in ("written", "uploading"):
            data, name = folder.requests(shipment), f"ragemo-{self._mark(shipment)}.jsonl"
            upload = None
            if shipment.stage == "uploading":
                upload = await api.find_upload(name, len(data))
            shipment = folder.change(shipment, stage="uploading")
            upload = upload or await api.upload(name, data)
            return folder.change(shipment, stage="uploaded", upload=upload)
        if shipment.stage in ("uploaded", "creating"):
            metadata = {"ragemo": self._mark(shipment), "requests_sha256": shipment.sha256}
            batch = await api.find_batch(metadata) if shipment.stage == "creating" else None
            shipment = folder.change(shipment, stage="creating")
            batch = batch or await api.create(shipment.upload, metadata)
            self._say(f"{self._words(shipment)}: batch {batch.id} created")
            return folder.change(shipment, stage="created", batch=batch.id, status=batch.status)
        return await self._look(shipment)

    async def _look(self, shipment: Shipment) -> Shipment:
        """See how a batch stands, and fetch its outcome once it has ended."""
        batch = await self._api.retrieve(shipment.batch)
        if batch.status != shipment.status:
            shipment = self._folder.change(shipment, status=batch.status)
            self._say(f"{self._words(shipment)}: {batch.status}{_progress(batch)}")
        if batch.is_refused:
            return await self._refused(shipment, batch)
        if batch.status != "validating":
            self._refusals = 0
        if batch.status in ENDED:
            return await self._fetch(shipment, batch)
        return shipment

    async def _refused(self, shipment: Shipment, batch: Batch) -> Shipment:
        """A batch that was not accepted: smaller files where they help, else an error."""
        if any(error.get("code") == TOO_MUCH for error in batch.errors) and shipment.requests > 1:
            self._say(f"{self._words(shipment)}: too much at once for the endpoint; making parts")
            if self._wait:
                # Another run may fill it up for a while, to which any part is too much.
                await asyncio.sleep(min(FIRST_POLL * 1.5**self._refusals, self._poll))
                self._refusals += 1
            return self._folder.change(shipment, stage="refused")
        words = "; ".join(
            f"line {error['line']}: {reason}" if error.get("line") else reason
            for error in batch.errors[:3]
            if (reason := str(error.get("message") or error.get("code") or ""))
        )
        words = self._api.endpoint.brief(words or "it does not say why")
        # Submitted anew by whoever goes on once the reason is gone.
        self._folder.change(shipment, stage="written", upload="", batch="")
        raise EndpointError(
            f"{self._api.endpoint.url} did not accept batch {batch.id} "
            f"({self._folder.file('requests', shipment)}): {words}. Nothing of it was answered or "
            "has to be paid; once the reason is gone, go on with the same command and --resume"
        )

    async def _fetch(self, shipment: Shipment, batch: Batch) -> Shipment:
        """Put the outcome on disk, unless more of it may come."""
        files: dict[Kind, str] = {"answers": batch.output_file_id, "errors": batch.error_file_id}
        data = {kind: await self._api.content(file) for kind, file in files.items() if file}
        trouble = [
            f"file {files[kind]} of batch {batch.id} is not at the endpoint: deleted there, "
            "expired, or not there yet"
            for kind, content in data.items()
            if content is None
        ]
        readable, refused = (_readable(data.get(kind)) for kind in ("answers", "errors"))
        expected = min(batch.completed, shipment.requests)
        ended = min(batch.completed + batch.failed, shipment.requests)
        # Some count what failed as completed, too, and some have no file of errors.
        if readable < expected and readable + refused < ended:
            trouble.append(f"{readable:,} of {expected:,} answers can be read")
        if trouble:
            words = f"{self._words(shipment)}: {'; '.join(trouble)}"
            if self._may_come(shipment):
                self._say(f"{words}; looking again")
                return shipment
            self._say(f"{words}; what is missing is asked, and paid for, again")
        self._folder.keep(shipment, "answers", data.get("answers") or b"")
        if errors := data.get("errors"):
            self._folder.keep(shipment, "errors", errors)
        return self._folder.change(shipment, stage="fetched")

    def _may_come(self, shipment: Shipment) -> bool:
        """Whether to look once more for what is missing of an outcome."""
        self._fetches[shipment.number] += 1
        again = self._wait and self._fetches[shipment.number] < FETCHES
        return again or 0 <= shipment.age < LATE  # the clock may have been put back

    def _mark(self, shipment: Shipment) -> str:
        """What tells a request file from all others, whoever wrote them."""
        return f"{self._folder.run_id}-{shipment.number:04}"

    def _words(self, shipment: Shipment) -> str:
        return self._folder.file("requests", shipment).name


def _readable(data: bytes | None) -> int:
    """Lines of an outcome's file that can be read."""
    return sum(read_outcome(line) is not None for line in (data or b"").split(b"\n"))


def _progress(batch: Batch) -> str:
    if not batch.total:
        return ""
    failed = f", {batch.failed:,} failed" if batch.failed else ""
    return f" ({batch.completed:,} of {batch.total:,} answered{failed})"


def _named(shipments: Iterable[Shipment]) -> str:
    return ", ".join(
        f"{one.requests:,} requests in batch {one.batch}" if one.batch else f"file {one.number}"
        for one in shipments
    )


def _resume(shipments: Iterable[Shipment]) -> str:
    there = any(one.is_away for one in shipments)
    return ("The endpoint goes on with what it has; " * there) + (
        "fetch the answers with the same command and --resume, in a day or a week"
    )
