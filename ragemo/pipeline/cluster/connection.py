"""Join a Ray cluster, or start one on this machine."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragemo.errors import RunFolderError, SettingsError

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster that this process is connected to.

    Attributes:
        cores: how many a node has, by its id; of those that have any.
    """

    cores: Mapping[str, int]

    @property
    def workers(self) -> int:
        """How many actors work at once: one for each core."""
        return sum(self.cores.values())

    @contextmanager
    def actors(
        self, kind: type, *, count: int | None = None, **options: Any
    ) -> Iterator[list[ActorHandle]]:
        """Actors of a class, dealt out to the nodes; they end with the block.

        Args:
            kind: the class; its constructor takes nothing, which Ray would have to keep.
            count: how many, a node's turn coming as often as it has cores; default: `workers`.
            options: of Ray's actors.

        One whose process or node is lost begins anew on a node that is there, and its calls are
        made again.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = ray.remote(kind)
        found = [
            remote.options(
                max_restarts=-1,
                max_task_retries=-1,
                # Ray's own "SPREAD" puts two actors on one of two nodes as often as not.
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True),
                **options,
            ).remote()
            for node in islice(cycle(self._turns()), count or self.workers)
        ]
        try:
            yield found
        finally:
            for actor in found:
                ray.kill(actor)

    def _turns(self) -> Iterator[str]:
        """The nodes in turn, each as often as it has cores."""
        for turn in range(max(self.cores.values())):
            yield from (node for node, cores in self.cores.items() if turn < cores)


@contextmanager
def open_cluster(address: str | None = None) -> Iterator[Cluster]:
    """Join a cluster, or start one on this machine that ends with the block.

    No statistics of usage are sent, no dashboard is started, and workers' logs are not shown
    here. A cluster that this process is connected to already is used and left as it is.

    Args:
        address: of the cluster's head, HOST:PORT; None: RAY_ADDRESS, or else one is started.

    Raises:
        SettingsError: if Ray is not installed or cannot be started, nothing answers there, or there
            is no core.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported
    # Ray Data says of each of its actors, as of an error, that it could not begin anew if what it
    # needs were lost; it lies where this process is.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Workers of a cluster that is started here are the run, and not what may wait for all else.
    os.environ.setdefault("RAY_worker_niceness", "0")
    address = address or os.environ.get("RAY_ADDRESS")
    if address and _has_token():
        # Ray's command uses a token that lies there, and its library, given an address, does not.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise SettingsError("--engine ray needs Ray: pip install 'ragemo[ray]'") from None
    connected = ray.is_initialized()
    if not connected:
        how = {"address": address} if address else {"address": "local", "include_dashboard": False}
        try:
            if address:
                _knock(address)
            ray.init(**how, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray has none of its own for this
            reason = " ".join(str(error).split())[:300]
            raise SettingsError(
                f"--address {address}: no Ray cluster that can be joined ({reason}); start one "
                "with `ray start --head`, or leave --address out to use this machine. One that "
                "asks for a token takes that of its head: the same ~/.ray/auth_token on every "
                "machine"
                if address
                else f"--engine ray: Ray could not be started on this machine ({reason}); try "
                "again, or use --engine local"
            ) from None
    try:
        alive = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        cores = {node: int(has.get("CPU", 0)) for node, has in alive.items()}
        if not any(cores.values()):
            raise SettingsError("the Ray cluster has no core; start a worker node with `ray start`")
        yield Cluster({node: count for node, count in cores.items() if count})
    finally:
        if not connected:
            ray.shutdown()


def _has_token() -> bool:
    """Whether there is something to show a cluster that asks who comes, where Ray looks for it."""
    told = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    return bool(told) or (Path.home() / ".ray" / "auth_token").is_file()


def _knock(address: str) -> None:
    """Find out whether anybody is there: Ray would go on trying for many minutes.

    Raises:
        OSError: if nobody is.
        ValueError: if it is no address.
    """
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()) or "://" in address:
        raise ValueError("expected HOST:PORT, of a cluster that this machine is one of")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def outcome(call: ObjectRef) -> Any:
    """What came of a call that is over.

    Raises:
        RunFolderError: if Ray could not have it made.
        Exception: what the call raised.
    """
    import ray

    with in_words():
        return ray.get(call)


async def awaited(call: Awaitable[Any]) -> Any:
    """What comes of a call; see `outcome`."""
    with in_words():
        return await call


@contextmanager
def in_words() -> Iterator[None]:
    """Errors of Ray's become those of the call, or of ragemo's."""
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:500].rstrip(".")
        hint = ""
        if os.environ.get("RAY_AUTH_MODE") == "token" and "never ran" in reason:
            hint = "; if its head was started without a token, set RAY_AUTH_MODE=disabled"
        raise RunFolderError(
            f"the Ray cluster could not do its work: {reason}. All that was done is kept; go on "
            f"with the same command and --resume{hint}"
        ) from None
