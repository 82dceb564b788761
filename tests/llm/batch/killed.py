"""Kill a run by batch after each thing it does to the disk or the endpoint, and go on with it.

    python -m tests.llm.batch.killed PORT FOLDER      prints how many points there were

One process imports everything and forks one child for each run, since importing takes longest.
"""

import itertools
import os
import signal
import sys
from pathlib import Path

from ragemo.llm.batch import folder as batch_folder
from ragemo.llm.batch.api import BatchApi
from ragemo.runs.run import Run
from tests.llm.batch.conftest import Endpoint, run_by_batch

TROUBLE = {"statuses": ["completed"], "errors": {"1": [503, {"message": "overloaded"}]}}
USUAL = {"statuses": ["completed"]}
AT_ONCE = 8
"""Runs beside each other: most of the time they wait for the disk."""


def die_after(point):
    """SIGKILL for this process as soon as it has done so many things."""
    numbers = itertools.count()

    def happened():
        if next(numbers) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def then_die(function):
        def doing(*arguments, **more):
            outcome = function(*arguments, **more)
            happened()
            return outcome

        return doing

    call = BatchApi._call

    async def doing(*arguments):
        outcome = await call(*arguments)
        happened()
        return outcome

    BatchApi._call = doing
    batch_folder.write_bytes = then_die(batch_folder.write_bytes)
    batch_folder.write_json = then_die(batch_folder.write_json)
    Run.append = then_die(Run.append)


def in_a_child(work):
    """Whether a piece of work came to its end in a process of its own."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status == 0


def kill_and_resume(port, root, point):
    """Exit with 0 if a run was killed and gone on with, with 3 if it was through before that."""
    endpoint, folder = Endpoint(port, f"killed-{point}"), root / str(point)
    endpoint.script(TROUBLE, USUAL)

    def killed():
        die_after(point)
        run_by_batch(endpoint, folder)

    if in_a_child(killed):
        os._exit(3)
    assert in_a_child(lambda: run_by_batch(endpoint, folder, resume=True))
    os._exit(0)


def main(port, root):
    whole = Endpoint(port, "killed-never")
    whole.script(TROUBLE, USUAL)
    run_by_batch(whole, root / "never")  # and every library is there for the children
    done = 0
    while True:
        wave = range(done, done + AT_ONCE)
        children = {os.fork() or kill_and_resume(port, root, point): point for point in wave}
        codes = {children[child]: os.waitpid(child, 0)[1] >> 8 for child in children}
        assert set(codes.values()) <= {0, 3}, codes
        done += list(codes.values()).count(0)
        if 3 in codes.values():
            print(done)
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
