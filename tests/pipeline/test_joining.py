"""A cluster that was started by Ray's own command is joined by its address."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import corpora, index, test_file, train
from tests.pipeline.blockwise import files_of

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ragemo[ray]'")

__all__ = ["corpora", "index", "test_file", "train"]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path):
    """Where a token lies, as Ray leaves one behind."""
    (tmp_path / "home" / ".ray").mkdir(parents=True)
    (tmp_path / "home" / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    return tmp_path / "home"


@pytest.fixture
def environment(home):
    return {
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "HOME": str(home),
    }


@pytest.fixture
def address(environment):
    """A head that asks for the token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=1"]
    head += [f"--port={port}", "--include-dashboard=false", f"--object-store-memory={80 * 2**20}"]
    process = subprocess.Popen(
        head,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_cluster_that_asks_for_a_token_is_joined(
    tmp_path, monkeypatch, environment, address, index, test_file
):
    monkeypatch.chdir(tmp_path)
    for folder, more in (("local", ()), ("ray", ("--engine", "ray", "--address", address))):
        command = [sys.executable, "-m", "ragemo", "predict", test_file, "--index", index]
        done = subprocess.run(
            [*command, "--llm", "none", "--quiet", "--out", folder, *more],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert files_of(Path("ray")) == files_of(Path("local"))
