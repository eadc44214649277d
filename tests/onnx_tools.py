"""A face recognition network small enough for tests, written as an ONNX file byte by byte."""

from pathlib import Path

import numpy as np

FLOAT, INTS = 1, 7  # kinds of a tensor's numbers and of an attribute
POOL_PX, EMBEDDING = 8, 16


def write_recognizer(
    path: Path, *, side: int = 112, scales_itself: bool = False, embeds: bool = True
) -> Path:
    """Random linear embeddings of the mean colours of 8 x 8 blocks of a (3, side, side) picture.

    scales_itself: takes 0 to 255, otherwise -1 to 1. embeds: otherwise it gives the blocks as they are.
    """
    rng = np.random.default_rng(0)
    inputs = 3 * (side // POOL_PX) ** 2
    weights = rng.normal(0, inputs**-0.5, (inputs, EMBEDDING)).astype(np.float32)
    nodes, name = [], "picture"
    if scales_itself:
        nodes = [_node("Sub", [name, "mean"], "shifted"), _node("Mul", ["shifted", "scale"], "scaled")]
        name = "scaled"
    pooling = _attribute("kernel_shape", [POOL_PX] * 2) + _attribute("strides", [POOL_PX] * 2)
    nodes.append(_node("AveragePool", [name], "blocks", pooling))
    if embeds:
        nodes += [_node("Flatten", ["blocks"], "row"), _node("Gemm", ["row", "weights"], "embedding")]
    tensors = {
        "weights": weights,
        "mean": np.full(1, 127.5, np.float32),
        "scale": np.full(1, 1 / 127.5, np.float32),
    }
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"tiny")
    graph += b"".join(_field(5, _tensor(name, values)) for name, values in tensors.items())
    graph += _field(11, _value("picture", (1, 3, side, side))) + _field(
        12, _value("embedding", (1, EMBEDDING))
    )
    path.write_bytes(_number(1, 8) + _field(7, graph) + _field(8, _number(2, 11)))
    return path


def _result(embeds: bool, side: int) -> bytes:
    if embeds:
        return _value("embedding", (1, EMBEDDING))
    return _value("blocks", (1, 3, side // POOL_PX, side // POOL_PX))


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, values: list[int]) -> bytes:
    return _field(5, _field(1, name) + b"".join(_number(8, v) for v in values) + _number(20, INTS))


def _node(kind: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    return b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, kind) + attributes


def _tensor(name: str, values: np.ndarray) -> bytes:
    sizes = b"".join(_number(1, size) for size in values.shape)
    return sizes + _number(2, FLOAT) + _field(8, name) + _field(9, values.tobytes())


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sizes = b"".join(_field(1, _number(1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _number(1, FLOAT) + _field(2, sizes)))
