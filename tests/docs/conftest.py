"""What the examples of every page run in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.warm import write_client


@pytest.fixture(scope="session")
def warm(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The same, with a `ragemo` that begins at once, see `tests.warm`."""
    folder = tmp_path_factory.mktemp("warm")
    path = folder / "socket"
    write_client(folder / "ragemo", path)
    own = {**environment, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.warm", str(path)], env=own, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield {**environment, "PATH": str(folder) + os.pathsep + environment["PATH"]}
        process.kill()


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The user's, with this Python's programs first and no endpoint."""
    programs = str(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    kept.pop("RAGEMO_PRICES", None)
    return {**kept, "PATH": programs + os.pathsep + os.environ["PATH"], "COLUMNS": "100"}
