"""Leave request files for another runner, and take up what it has put beside them."""

from __future__ import annotations

import shlex

from ragemo.errors import PendingError, RunFolderError
from ragemo.llm.batch.folder import BatchFolder, Shipment


class HandOver:
    """Waits for nobody: either a file's outcome is there, or its turn has come.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: BatchFolder) -> None:
        self._folder = folder

    async def deliver(self) -> list[Shipment]:
        """Take up what is there.

        Returns:
            The files whose outcome is there.

        Raises:
            PendingError: if an outcome is missing, saying what to run and where it belongs.
            RunFolderError: if a file was submitted to an endpoint.
        """
        done, missing = [], []
        for shipment in [one for one in self._folder.shipments if one.is_open]:
            if shipment.is_away:
                raise RunFolderError(
                    f"{self._folder.path}: {self._folder.file('requests', shipment).name} was "
                    "submitted to the endpoint; go on with --batch instead of --batch-files"
                )
            if self._folder.file("answers", shipment).is_file():
                done.append(self._folder.change(shipment, stage="fetched", status="completed"))
            else:
                missing.append(shipment)
        if missing:
            raise PendingError("\n".join(self._words(missing)))
        return done

    async def close(self) -> None:
        """Nothing is open."""

    def _words(self, missing: list[Shipment]) -> list[str]:
        requests = sum(one.requests for one in missing)
        lines = [
            f"{requests:,} requests wait in {self._folder.path} for a runner that reads OpenAI's "
            "batch files, such as"
        ]
        for one in missing:
            paths = (self._folder.file("requests", one), self._folder.file("answers", one))
            source, target, model = map(shlex.quote, (*map(str, paths), one.model))
            lines.append(f"  vllm run-batch -i {source} -o {target} --model {model}")
        lines.append("then go on with the same command and --resume")
        return lines
