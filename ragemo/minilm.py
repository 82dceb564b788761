"""The embedder's graph: MiniLM written as ONNX so that texts of one length can share a batch.

In a batch no text may move another's vector, not by a bit, or caches, shards and resumed runs
would no longer agree. So there is no padding (all texts of a batch have equally many tokens),
and no number is taken over a batch: in int8 the ranges of the activations are fixed beforehand
rather than measured on whatever comes in.

Fixed ranges are fitted to a few hundred sentences of the shipped sample. A few dimensions of
MiniLM are ten times as large as the others and would leave them two or three of eight bits; what
such a dimension is divided by, its weights are multiplied by, and nothing else changes
(SmoothQuant: Xiao et al., "SmoothQuant: accurate and efficient post-training quantization for
large language models", ICML 2023). Weights have seven bits: with eight, processors without
VNNI would overflow, and a text would have other vectors there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Floats = npt.NDArray[np.float32]

LAYERS, HEADS, DIMENSION, LONGEST = 6, 12, 384, 512
EPSILON = 1e-12

SAMPLE = Path(__file__).parent / "sample" / "train.json"
"""Its utterances set the ranges of the activations."""

CALIBRATION_TEXTS = 250

SMOOTHING = 0.75
"""How much of a large dimension goes over from the activations to the weights (alpha)."""

MARGIN = 1.05
"""Ranges are so much wider than what was seen."""

SLOW_FUSION = "SkipLayerNormFusion"
"""What ONNX Runtime may not make of the graph: its one operator that adds and normalises takes
several times as long as the two steps, and rounds otherwise. Version 1.32 leaves this graph alone
by itself; that no version joins them is told to all."""

LARGEST_WEIGHT = 63
"""Seven bits: two products of 255 and 63 add up to less than 2^15."""


@dataclass(frozen=True)
class Range:
    """What goes into a matrix product, by dimension: shape (inputs,) each."""

    low: Floats
    high: Floats


@dataclass
class _Graph:
    """Nodes and constants, as they are added.

    Attributes:
        ranges: of each product's input, by the product's name; None: all stays in fp32.
        products: the name of each product's input, by the product's name.
    """

    ranges: Mapping[str, Range] | None = None
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    products: dict[str, str] = field(default_factory=dict)

    def constant(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind: str, inputs: Iterable[str], name: str, **options: Any) -> str:
        """A node with one output, which bears its name."""
        from onnx import helper

        domain = "com.microsoft" if kind in _FUSED else ""
        self.nodes.append(
            helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **options)
        )
        return name

    def product(self, name: str, inputs: str, weights: Floats, bias: Floats) -> str:
        """inputs @ weights + bias; weights of shape (inputs, outputs)."""
        self.products[name] = inputs
        added = self.constant(f"{name}.bias", bias)
        if self.ranges is None:
            weights_name = self.constant(f"{name}.weights", weights)
            return self.add(
                "Add", [self.add("MatMul", [inputs, weights_name], f"{name}.product"), added], name
            )
        return self.add(
            "MatMulIntegerToFloat", [*self.quantised(name, inputs, weights), added], name
        )

    def attention(self, name: str, inputs: str, weights: Floats, bias: Floats) -> str:
        """Self-attention of all heads; the weights are those of query, key and value in a row."""
        self.products[name] = inputs
        added = self.constant(f"{name}.bias", bias)
        if self.ranges is None:
            weights_name = self.constant(f"{name}.weights", weights)
            return self.add("Attention", [inputs, weights_name, added], name, num_heads=HEADS)
        whole, matrix, scale, scales, zero, zeros = self.quantised(name, inputs, weights)
        return self.add(
            "QAttention",
            [whole, matrix, added, scale, scales, "", zero, zeros],
            name,
            num_heads=HEADS,
        )

    def quantised(self, name: str, inputs: str, weights: Floats) -> list[str]:
        """Input and weights in whole numbers, their scales, their zero points."""
        assert self.ranges is not None
        own = self.ranges[name]
        extent = np.maximum(np.maximum(-own.low, own.high), 1e-6).astype(np.float64)
        needed = np.maximum(np.abs(weights).max(axis=1), 1e-6).astype(np.float64)
        divisors = extent**SMOOTHING / needed ** (1 - SMOOTHING)
        low = min(float((own.low / divisors).min()), 0.0) * MARGIN
        high = max(float((own.high / divisors).max()), 0.0) * MARGIN
        step = (high - low) / 255
        zero = np.uint8(round(-low / step))
        matrix = weights * divisors[:, None] * step
        scales = np.maximum(np.abs(matrix).max(axis=0), 1e-12) / LARGEST_WEIGHT
        smoothed = self.add(
            "Mul",
            [inputs, self.constant(f"{name}.factors", (1 / (divisors * step)).astype(np.float32))],
            f"{name}.smoothed",
        )
        one = self.constant(f"{name}.one", np.float32(1))
        zero_point = self.constant(f"{name}.zero", zero)
        return [
            self.add("QuantizeLinear", [smoothed, one, zero_point], f"{name}.whole"),
            self.constant(f"{name}.weights", (matrix / scales).round().astype(np.int8)),
            one,
            self.constant(f"{name}.scales", scales.astype(np.float32)),
            zero_point,
            self.constant(f"{name}.zeros", np.zeros(len(scales), dtype=np.int8)),
        ]


_FUSED = {
    "Attention",
    "QAttention",
    "MatMulIntegerToFloat",
    "Gelu",
}
"""Operators of ONNX Runtime that do several steps at once."""


def _network(weights: Mapping[str, Floats], ranges: Mapping[str, Range] | None) -> _Graph:
    """Token ids, shape (texts, tokens), to unit vectors, shape (texts, 384)."""
    from onnx import numpy_helper

    graph = _Graph(ranges)
    zero = graph.constant("zero", np.zeros(1, dtype=np.int64))
    one = graph.constant("one", np.ones(1, dtype=np.int64))
    words = weights["embeddings.word_embeddings.weight"]
    positions = (
        weights["embeddings.position_embeddings.weight"]
        + (weights["embeddings.token_type_embeddings.weight"][0])
    )
    if ranges is None:
        found = graph.add("Gather", [graph.constant("words", words), "input_ids"], "words.found")
    else:  # a scale for each word
        scales = np.maximum(np.abs(words).max(axis=1, keepdims=True), 1e-12) / 127
        whole = graph.constant("words", (words / scales).round().astype(np.int8))
        rows = graph.add("Gather", [whole, "input_ids"], "words.whole")
        own = graph.add(
            "Gather",
            [graph.constant("words.scales", scales.astype(np.float32)), "input_ids"],
            "words.scale",
        )
        found = graph.add(
            "Mul", [graph.add("Cast", [rows], "words.float", to=1), own], "words.found"
        )
    graph.add("Shape", ["input_ids"], "tokens", start=1, end=2)
    graph.add(
        "Slice",
        [graph.constant("positions", positions), zero, "tokens", zero],
        "positions.found",
    )
    placed = graph.add("Add", [found, "positions.found"], "placed")

    def constants(*names: str) -> list[str]:
        return [graph.constant(name, weights[name]) for name in names]

    norm = constants("embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias")
    hidden = graph.add("LayerNormalization", [placed, *norm], "embedded", epsilon=EPSILON)
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        parts = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        attended = graph.attention(
            f"{layer}.attention",
            hidden,
            np.concatenate([weights[f"{part}.weight"].T for part in parts], axis=1),
            np.concatenate([weights[f"{part}.bias"] for part in parts]),
        )

        def dense(name: str, inputs: str) -> str:
            return graph.product(name, inputs, weights[f"{name}.weight"].T, weights[f"{name}.bias"])

        def added(name: str, inputs: str, skipped: str) -> str:
            # In two steps, see `SLOW_FUSION`.
            total = graph.add("Add", [inputs, skipped], f"{name}.added")
            norm = constants(f"{name}.LayerNorm.weight", f"{name}.LayerNorm.bias")
            return graph.add(
                "LayerNormalization", [total, *norm], f"{name}.LayerNorm", epsilon=EPSILON
            )

        output = f"{layer}.attention.output"
        hidden = added(output, dense(f"{output}.dense", attended), hidden)
        wide = graph.add("Gelu", [dense(f"{layer}.intermediate.dense", hidden)], f"{layer}.gelu")
        hidden = added(f"{layer}.output", dense(f"{layer}.output.dense", wide), hidden)
    # The sum over the tokens, as a product of matrices: ReduceMean adds up in another order where
    # a text is alone. A vector of length one is the same from the sum as from the mean.
    one_row = graph.add("Concat", [one, "tokens"], "sum.shape", axis=0)
    ones = graph.add(
        "ConstantOfShape",
        [one_row],
        "sum.ones",
        value=numpy_helper.from_array(np.ones(1, dtype=np.float32)),
    )
    total = graph.add("MatMul", [ones, hidden], "sum")
    graph.add(
        "LpNormalization", [graph.add("Squeeze", [total, one], "sum.row")], "vector", axis=1, p=2
    )
    return graph


def _model(graph: _Graph, outputs: Iterable[str] = ()) -> bytes:
    from onnx import TensorProto, helper

    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "tokens"])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["texts", DIMENSION])
    others = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    whole = helper.make_graph(graph.nodes, "minilm", [ids], [vector, *others], graph.constants)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    data: bytes = helper.make_model(whole, opset_imports=opsets, ir_version=9).SerializeToString()
    return data


def write_graphs(folder: Path) -> None:
    """Write `model-fp32.onnx` and `model-int8.onnx` beside the weights in `folder`."""
    from safetensors.numpy import load_file

    weights = load_file(folder / "model.safetensors")
    full = _network(weights, None)
    (folder / "model-fp32.onnx").write_bytes(_model(full))
    ranges = _ranges(full, folder)
    (folder / "model-int8.onnx").write_bytes(_model(_network(weights, ranges)))


def _ranges(full: _Graph, folder: Path) -> dict[str, Range]:
    """What the sample's utterances put into each product."""
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    utterances = json.loads(SAMPLE.read_text(encoding="utf-8"))
    inputs = list(dict.fromkeys(full.products.values()))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more would wait for each other longer than they work
    session = onnxruntime.InferenceSession(
        _model(full, inputs), options, disabled_optimizers=[SLOW_FUSION]
    )
    low: dict[str, Floats] = {name: np.zeros(1, dtype=np.float32) for name in inputs}
    high = dict(low)
    for utterance in utterances[:: max(1, len(utterances) // CALIBRATION_TEXTS)]:
        ids = np.array([tokenizer.encode(utterance["groundtruth"]).ids])
        found = session.run(inputs, {"input_ids": ids})
        for name, values in zip(inputs, found, strict=True):
            low[name] = np.minimum(low[name], values[0].min(axis=0))
            high[name] = np.maximum(high[name], values[0].max(axis=0))
    return {product: Range(low[name], high[name]) for product, name in full.products.items()}
