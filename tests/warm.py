"""A process that has imported what commands need, and forks one for each: imports take seconds.

    python -m tests.warm SOCKET

says "ready" and then runs `ragemo` for whoever asks by the program that `write_client` writes: with
their arguments, folder, environment and standard streams, and with an exit code for them.
"""

from __future__ import annotations

import atexit
import json
import os
import pkgutil
import signal
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path

HEAVY = (
    *("accelerate", "faiss", "gguf", "jiwer", "matplotlib.figure", "onnxruntime", "pandas"),
    *("rich.table", "scipy.optimize", "scipy.sparse", "scipy.stats", "tokenizers", "torch"),
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
code = asking.recv(1)
sys.exit(code[0] if code else 70)
"""


def write_client(file: Path, path: Path) -> None:
    """A program that does what `ragemo` does, in a fork of the process that listens at `path`."""
    file.write_text(CLIENT.format(python=sys.executable, path=str(path)), encoding="utf-8")
    file.chmod(0o755)


def carry_out(asked: socket.socket) -> int:
    """Be who asked, and run the command. The exit code."""
    from ragemo.cli import main

    head, streams, _, _ = socket.recv_fds(asked, 8, 3)
    data = b""
    while len(data) < int.from_bytes(head, "big"):
        data += asked.recv(1 << 20)
    order = json.loads(data)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv[:] = ["ragemo", *order["arguments"]]
    code: object = 0
    try:
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
        if module.name != "ragemo.__main__":
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
            try:
                code = carry_out(asked)
            finally:
                asked.sendall(bytes([code]))
                os._exit(code)
        asked.close()


if __name__ == "__main__":
    listen(sys.argv[1])
