"""What the examples of every page run in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.warm import write_client


@pytest.fixture(scope="session")
def warm(
    environment: dict[str, str], warm_socket: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The same, with a `ragemo` that begins at once, see `tests.warm`."""
    folder = tmp_path_factory.mktemp("programs")
    write_client(folder / "ragemo", warm_socket)
    return {**environment, "PATH": str(folder) + os.pathsep + environment["PATH"]}


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The user's, with this Python's programs first and no endpoint."""
    programs = str(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    kept.pop("RAGEMO_PRICES", None)
    return {**kept, "PATH": programs + os.pathsep + os.environ["PATH"], "COLUMNS": "100"}
