"""Text to vectors: each distinct text once, and its vector a function of that text alone.

Padding, or quantisation ranges measured on a batch, would let a text's neighbours move its
vector in the last digits. The embedded model has neither: a batch holds texts of equally many
tokens, and its graph (`ragemo.minilm`) takes no number over a batch. So a text has the same
vector alone and in any company, caches are exact, and resumed, sharded and repeated runs agree
to the last bit. Other models make no such promise and are given one text at a time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ragemo.cores import cores
from ragemo.errors import ModelError, SettingsError
from ragemo.files import canonical_json, expanded
from ragemo.minilm import SLOW_FUSION
from ragemo.models import EMBEDDED_MODELS, MINILM, ensure_model
from ragemo.retrieval.embedding.crew import Crew
from ragemo.retrieval.embedding.token_batches import TokenBatch, TokenBatches
from ragemo.retrieval.embedding.word_tokens import WordTokens

Vectors = npt.NDArray[np.float32]

MAX_TOKENS = 256
"""Longer texts are cut here, as the embedder was trained."""

FIRST_BLOCK, BLOCK = 256, 8192
"""So many texts are cut into tokens at a time, at first and at most. Each block is cut while the
one before it is embedded, of which many cores make short work. While the first one is cut, they
have nothing to do."""

PRECISIONS = ("int8", "fp32")


class Embedder(Protocol):
    """Anything that turns texts into unit vectors.

    `identity` is plain data that names all that determines a vector; an index keeps it and
    refuses queries embedded otherwise.
    """

    @property
    def identity(self) -> dict[str, Any]:
        """All that determines a vector."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] = ...) -> Vectors:
        """Unit vectors, shape (len(texts), dimension), float32; zeros for a blank text.

        `progress` is told how many more texts are done.
        """
        ...


@dataclass(frozen=True)
class OnnxEmbedder:
    """The embedded MiniLM on ONNX Runtime, in int8 (default) or fp32.

    Raises:
        ModelError: if the model is not in the cache and cannot be fetched, or cannot be loaded.
    """

    precision: str
    session: Any
    tokens: WordTokens

    @classmethod
    def load(
        cls, precision: str = "int8", say: Callable[[str], None] = lambda line: None
    ) -> OnnxEmbedder:
        """Load it, pulling it first if it is not in the cache."""
        import onnxruntime
        from tokenizers import Tokenizer

        folder = ensure_model(MINILM.name, say=say)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            session = onnxruntime.InferenceSession(
                str(folder / f"model-{precision}.onnx"),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=[SLOW_FUSION],
            )
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_padding()
            tokenizer.enable_truncation(MAX_TOKENS)
            tokens = WordTokens(tokenizer, MAX_TOKENS)
        except Exception as error:
            raise ModelError(
                f"cannot load the embedder from {folder}: {error}; "
                f"`ragemo models pull {MINILM.name} --again` makes the folder anew"
            ) from None
        return cls(precision, session, tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy elsewhere is loaded there."""
        return OnnxEmbedder.load, (self.precision,)

    @property
    def identity(self) -> dict[str, Any]:
        """The weights' hash, the graph's version, the precision and the cut."""
        return {
            "name": MINILM.name,
            "weights_sha256": MINILM.weights_sha256,
            "graph": MINILM.form,
            "precision": self.precision,
            "max_tokens": MAX_TOKENS,
        }

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return 384

    def embed(
        self, texts: Sequence[str], progress: Callable[[int], None] = lambda done: None
    ) -> Vectors:
        """See `Embedder.embed`."""

        def embed_distinct(distinct: Sequence[str]) -> Vectors:
            vectors = np.empty((len(distinct), self.dimension), dtype=np.float32)

            def run(batch: TokenBatch) -> None:
                vectors[batch.rows] = self.session.run(None, {"input_ids": batch.tokens})[0]
                progress(len(batch.rows))

            batches = TokenBatches()
            if len(distinct) <= 1:  # threads would take longer to begin
                for batch in batches.add(0, self.tokens.encode(distinct)) + batches.rest():
                    run(batch)
                return vectors
            with Crew(run, cores()) as crew:
                for start, end in blocks(len(distinct)):
                    ready = batches.add(start, self.tokens.encode(distinct[start:end]))
                    if start == 0:  # batches that are not full are better than idle cores
                        ready += batches.rest()
                    crew.do_next(ready)
                crew.do_next(batches.rest())
            return vectors

        return _embed_each_once(texts, self.dimension, embed_distinct)


def blocks(count: int) -> Iterator[tuple[int, int]]:
    """Where blocks of so many texts begin and end; they grow fourfold, up to `BLOCK`."""
    start, size = 0, FIRST_BLOCK
    while start < count:
        yield start, min(start + size, count)
        start, size = start + size, min(4 * size, BLOCK)


@dataclass(frozen=True)
class SentenceTransformerEmbedder:
    """Any sentence-transformers model, by hub name or folder, in fp32.

    Raises:
        ModelError: if it cannot be loaded.
    """

    name: str
    model: Any
    content_sha256: str = ""

    @classmethod
    def of(cls, name: str, model: Any) -> SentenceTransformerEmbedder:
        """One whose identity names what the model is made of, wherever it came from."""
        content = sha256(repr(model).encode())
        content.update(canonical_json(_settings_of(model)).encode())
        content.update(_tokenizer_of(model).encode())
        for part, tensor in sorted(model.state_dict().items()):
            content.update(part.encode())
            content.update(tensor.contiguous().numpy().tobytes())
        return cls(name, model, content.hexdigest())

    @classmethod
    def load(cls, name: str) -> SentenceTransformerEmbedder:
        """Load a model by hub name or folder."""
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        show_no_bars: Any = logging.disable_progress_bar
        show_no_bars()
        try:
            # Many are stored in half precision, which not every processor computes alike.
            model = SentenceTransformer(name, device="cpu", trust_remote_code=False).float()
            return cls.of(name, model)
        except Exception as error:
            raise ModelError(
                f"cannot load the sentence-transformers model {name!r}: {error}; expected the "
                f"name of a model on a hub that this machine reaches, a folder, or "
                f"{MINILM.name!r}, the embedded one"
            ) from None

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy elsewhere is loaded there; its identity tells whether it is the same."""
        return SentenceTransformerEmbedder.load, (self.name,)

    @property
    def identity(self) -> dict[str, Any]:
        """Name, the hash of what it is made of, and the longest text in tokens (0: no limit)."""
        longest = self.model.max_seq_length or 0
        return {
            "name": self.name,
            "content_sha256": self.content_sha256,
            "precision": "fp32",
            "max_tokens": int(longest) if math.isfinite(longest) else 0,
        }

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.model.get_embedding_dimension())

    def embed(
        self, texts: Sequence[str], progress: Callable[[int], None] = lambda done: None
    ) -> Vectors:
        """See `Embedder.embed`."""

        def embed_distinct(distinct: Sequence[str]) -> Vectors:
            vectors = np.empty((len(distinct), self.dimension), dtype=np.float32)
            for row, text in enumerate(distinct):
                vectors[row] = self.model.encode(
                    [text], normalize_embeddings=True, show_progress_bar=False
                )[0]
                progress(1)
            return vectors

        return _embed_each_once(texts, self.dimension, embed_distinct)


def _settings_of(model: Any) -> dict[str, Any]:
    """What moves vectors beside layers, weights and tokeniser, ready for JSON."""
    configs = [part.config.to_dict() for part in model.modules() if getattr(part, "config", None)]
    return {
        "prompts": model.prompts,
        "default_prompt_name": model.default_prompt_name,
        "truncate_dim": model.truncate_dim,
        # Not where it was found and what wrote it.
        "configs": [
            {
                name: value if isinstance(value, bool | int | float | None) else str(value)
                for name, value in config.items()
                if not name.startswith("_") and name not in ("dtype", "transformers_version")
            }
            for config in configs
        ],
    }


def _tokenizer_of(model: Any) -> str:
    """Its tokeniser, whole.

    Raises:
        ValueError: if it does not tell what it is made of.
    """
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", model.tokenizer)
    if not hasattr(tokenizer, "to_str"):
        raise ValueError(
            f"a tokeniser of the kind {type(tokenizer).__name__} does not tell what it is made of"
        )
    return str(tokenizer.to_str())


def _embed_each_once(
    texts: Sequence[str], dimension: int, embed_distinct: Callable[[Sequence[str]], Vectors]
) -> Vectors:
    """Vectors of the texts from vectors of the distinct ones; blank texts get zeros."""
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    row_of = {text: row for row, text in enumerate(distinct)}
    known = np.zeros((len(distinct) + 1, dimension), dtype=np.float32)
    known[:-1] = embed_distinct(distinct)
    return known[[row_of.get(text, -1) for text in texts]]


def load_embedder(
    name: str = MINILM.name,
    precision: str = "int8",
    say: Callable[[str], None] = lambda line: None,
) -> Embedder:
    """An embedder by name: `minilm` (embedded) or any sentence-transformers model.

    Args:
        name: "minilm", a hub name or a folder, which comes first if there is one of that name.
        precision: "int8" or "fp32" for `minilm`; other models always run in fp32.
        say: told in words what takes time.

    Raises:
        SettingsError: if the precision is unknown, or the name is an embedded LLM's.
        ModelError: if the model cannot be loaded.
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"precision {precision!r}: expected {' or '.join(PRECISIONS)}")
    if name == MINILM.name:
        return OnnxEmbedder.load(precision, say=say)
    if name in EMBEDDED_MODELS:
        raise SettingsError(f"{name!r} is a language model; the embedded embedder is 'minilm'")
    if name.startswith((".", "/", "~")) or os.path.isdir(name):  # noqa: PTH112 - it takes any name
        folder = expanded(name)
        if not folder.is_dir():
            raise ModelError(f"no sentence-transformers model in {folder}: no such folder")
        return SentenceTransformerEmbedder.load(str(folder.resolve()))
    return SentenceTransformerEmbedder.load(name)


def load_index_embedder(
    identity: dict[str, Any], say: Callable[[str], None] = lambda line: None
) -> Embedder:
    """The embedder that an index was built with, by the identity the index keeps.

    Raises:
        ModelError: if the model cannot be loaded, or the name, which may be anybody's, is that of a
            folder here. An index of a model in a folder names the whole path.
    """
    name = str(identity["name"])
    is_ours = name == MINILM.name or name.startswith("/")
    if not is_ours and os.path.exists(name):  # noqa: PTH110 - it takes any name
        raise ModelError(
            f"the index's embedder {name!r} would be read from a folder of that name here, which "
            "may be another model; go on from another folder, or build the index anew"
        )
    return load_embedder(name, str(identity["precision"]), say=say)
