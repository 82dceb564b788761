"""llama.cpp's own OpenAI-compatible server in this process: try the API path with no key."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ragemo.errors import ModelError, SettingsError
from ragemo.models import SMOLLM2, ensure_model

LAST_PORT = 65_535


def serve(
    model_path: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    context: int = 8192,
    threads: int | None = None,
    slots: int = 2,
    ready: Callable[[str], None],
) -> None:
    """Serve a GGUF model until interrupted (Ctrl-C). The process has to be this one's alone.

    There is no key: whoever reaches the port can use the model. llama.cpp's messages go to
    stderr, and only errors.

    Args:
        model_path: a GGUF file; by default the embedded model's, pulled if it is not there yet.
        host: address to listen on; the default is for this machine only.
        port: 0 lets the system choose.
        context: tokens that all requests in work together may hold.
        threads: of computing; by default as many as llama.cpp thinks best.
        slots: requests worked on at once, and the largest `n`.
        ready: told the base URL once requests are answered.

    Raises:
        SettingsError: if a number is out of its range.
        ModelError: if xllamacpp is not installed, or the model or the port cannot be used.
    """
    for setting, value, least in (
        ("port", port, 0),
        ("context", context, 1),
        ("threads", threads, 1),
        ("slots", slots, 1),
    ):
        if value is not None and value < least:
            raise SettingsError(f"{setting} is {value}, expected {least} or more")
    if port > LAST_PORT:
        raise SettingsError(f"port is {port}, expected {LAST_PORT} or less, or 0 for any free one")
    # Threads that spin while they wait for one another slow a busy machine down tenfold and more.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import xllamacpp
    except ImportError:
        raise ModelError(
            "the server needs the package xllamacpp: pip install ragemo[server]"
        ) from None
    name = SMOLLM2.name if model_path is None else model_path.stem
    if model_path is None:
        model_path = ensure_model(SMOLLM2.name) / SMOLLM2.weights
    if not model_path.is_file():
        raise ModelError(f"no model file {model_path}; expected a GGUF file")
    with model_path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{model_path} is no GGUF file, which is all that llama.cpp reads")

    params = xllamacpp.CommonParams()
    params.model.path = str(model_path)
    params.model_alias = {name}
    params.hostnames = [host]
    params.port = port
    params.n_ctx = context
    params.n_parallel = slots
    params.kv_unified = True  # one long prompt may use the context of all slots
    params.cpuparams.poll = 0
    if threads is not None:
        params.cpuparams.n_threads = threads
    params.verbosity = 1
    # A web page must not be able to use the model, or anyone to read the prompts of others.
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise ModelError(
            f"llama.cpp cannot serve {model_path} on {host} port {port}: {error} "
            "(its own message is above); is the port taken, the file damaged, the memory full?"
        ) from None
    with suppress(KeyboardInterrupt):
        ready(f"{server.listening_address}/v1")
        while True:
            time.sleep(3600)
    del server  # stops it
