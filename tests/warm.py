"""A process that has imported what commands need, and forks one for each: imports take seconds.

    python -m tests.warm SOCKET

says "ready" and then runs `ragemo` for whoever asks, by `Forked` or by the program that
`write_client` writes: with their arguments, folder, environment and standard streams. They are told
the fork's process id, and at its end its exit code.
"""

from __future__ import annotations

import atexit
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

HEAVY = (
    *("accelerate", "faiss", "gguf", "jiwer", "matplotlib.figure", "onnxruntime"),
    *("openai", "openai.resources", "pandas", "rich.table", "scipy.optimize", "scipy.sparse"),
    *("scipy.stats", "tokenizers", "torch"),
    *("torch._dynamo", "transformers.models.llama.modeling_llama"),
)
"""What commands import late, as far as it takes long."""

CLIENT = """#!{python} -IS
import json, os, socket, sys
order = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
asking = socket.socket(socket.AF_UNIX)
asking.connect({path!r})
data = json.dumps(order).encode()
socket.send_fds(asking, [len(data).to_bytes(8, "big")], [0, 1, 2])
asking.sendall(data)
asking.recv({number})
code = asking.recv(1)
sys.exit(code[0] if code else 70)
"""

NUMBER = 8
"""Bytes of a process id."""


def write_client(file: Path, path: Path) -> None:
    """A program that does what `ragemo` does, in a fork of the process that listens at `path`."""
    program = CLIENT.format(python=sys.executable, path=str(path), number=NUMBER)
    file.write_text(program, encoding="utf-8")
    file.chmod(0o755)


class Forked:
    """`ragemo ARGUMENTS` in a fork, with what tests use of `subprocess.Popen`.

    Args:
        path: where `listen` does.
        arguments: each as it is, or what its `str` says.
        cwd: its folder; the current one by default.
        env: its environment; this process's by default.
        program: source to run instead of the command line, with its arguments in `sys.argv`.
    """

    def __init__(
        self,
        path: Path,
        *arguments: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        program: str | None = None,
    ) -> None:
        self.returncode: int | None = None
        self._said = ("", "")
        self._streams = (_unnamed_file(), _unnamed_file())
        self._asking = socket.socket(socket.AF_UNIX)
        self._asking.connect(str(path))
        order = {
            "arguments": [str(one) for one in arguments],
            "folder": str(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
            "program": program,
        }
        data = json.dumps(order).encode()
        with Path(os.devnull).open("rb") as nothing:
            streams = [nothing.fileno(), *self._streams]
            socket.send_fds(self._asking, [len(data).to_bytes(8, "big")], streams)
        self._asking.sendall(data)
        self.pid = int.from_bytes(self._asking.recv(NUMBER), "big")
        self._process = os.pidfd_open(self.pid)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process is gone. Its exit code, or the signal SIGKILL, negative."""
        if self.returncode is None:
            if not select.select([self._process], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(["ragemo"], timeout or 0)
            try:
                code = self._asking.recv(1)
            except ConnectionResetError:  # killed before it had read what to do
                code = b""
            self.returncode = code[0] if code else -signal.SIGKILL
            self._said = _said(self._streams[0]), _said(self._streams[1])
            self._asking.close()
            os.close(self._process)
        return self.returncode

    def poll(self) -> int | None:
        """The same, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, how: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._process, how)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end. What it said, on standard output and on standard error."""
        self.wait(timeout)
        return self._said


def _unnamed_file() -> int:
    stream, name = tempfile.mkstemp()
    Path(name).unlink()
    return stream


def _said(stream: int) -> str:
    """All that was written to a stream, which is closed."""
    with open(stream, encoding="utf-8") as file:
        file.seek(0)
        return file.read()


def carry_out(asked: socket.socket) -> int:
    """Be who asked, and run the command. The exit code."""
    from ragemo.__main__ import main

    head, streams, _, _ = socket.recv_fds(asked, 8, 3)
    data = b""
    while len(data) < int.from_bytes(head, "big"):
        data += asked.recv(1 << 20)
    order: dict[str, Any] = json.loads(data)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv[:] = ["ragemo", *order["arguments"]]
    # Who runs the tests may be deaf to Ctrl-C, as whatever a script starts in the background is.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code: object = 0
    try:
        if program := order.get("program"):
            exec(program, {"__name__": "__main__"})
        else:
            main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code if isinstance(code, int) else int(code is not None)


def listen(path: str) -> None:
    import ragemo

    for module in pkgutil.walk_packages(ragemo.__path__, "ragemo."):
        import_module(module.name)
    for name in HEAVY:
        import_module(name)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    print("ready", flush=True)
    while True:
        asked, _ = listening.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            code = 70
            asked.sendall(os.getpid().to_bytes(NUMBER, "big"))
            try:
                code = carry_out(asked)
            finally:
                asked.sendall(bytes([code]))
                os._exit(code)
        asked.close()


if __name__ == "__main__":
    listen(sys.argv[1])
