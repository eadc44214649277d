"""Whose face it is, by a face recognition network that the user brings as an ONNX file.

Networks of ArcFace's kind (Deng et al., CVPR 2019) turn a face of 112 x 112 pixels, laid on a template by
eyes, nose and mouth, into an embedding. Embeddings of one person point in nearly the same direction.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.files import require_regular_file

Points = NDArray[Any]
Embedding = NDArray[np.float32]
Scaling = Literal["unit", "levels"]

FACE_PX = 112
# The template that ArcFace and SFace share: eyes, tip of the nose and corners of the mouth, the picture's
# left first, in pixels whose centres are whole numbers.
TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
# The points of the face mesh whose means these are.
FIVE = ((33, 133, 159, 145), (263, 362, 386, 374), (4,), (61,), (291,))
FIRST_NODES = 8  # of the graph: here networks that scale their input themselves do so
HINT = "give an ArcFace-like network: 3 x 112 x 112 in, one embedding out"


def five_points(points: Points) -> NDArray[np.float64]:
    """(5, 2) eyes, tip of the nose, corners of the mouth, from (468, 2) points of the mesh."""
    return np.stack([points[list(numbers)].astype(np.float64).mean(0) for numbers in FIVE])


def embedding_distance(made: Embedding, real: Embedding) -> float:
    """AED: Euclidean distance of two embeddings of length 1, in [0, 2].

    Published figures differ: some square it, and each network has a scale of its own.
    """
    return float(np.linalg.norm(made - real))


def embedding_cosine(made: Embedding, real: Embedding) -> float:
    """CSIM: cosine of two embeddings of length 1, in [-1, 1]."""
    return float(made @ real)


class Recognizer:
    """A face recognition network in OpenCV.

    scaling: of its input, which is RGB. "unit": (x - 127.5) / 127.5, as ArcFace's networks want it.
    "levels": 0 to 255, for networks that begin with a subtraction and a multiplication, as OpenCV's SFace.
    WeightsError for a file that is no such network.
    """

    def __init__(self, path: Path) -> None:
        require_regular_file(path, error=WeightsError)
        data = path.read_bytes()
        self._path = path
        with _quiet_opencv():
            try:
                self._network = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
                self.scaling: Scaling = "levels" if _scales_itself(data) else "unit"
            except (cv2.error, ValueError) as error:
                raise WeightsError(f"{shown(path)} is no ONNX network, or damaged", hint=HINT) from error
            self(np.zeros((FACE_PX, FACE_PX, 3), np.uint8))

    def __call__(self, face: NDArray[np.uint8]) -> Embedding:
        """The embedding (D,) of an aligned (112, 112, 3) RGB face, of length 1."""
        values = face.astype(np.float32)
        if self.scaling == "unit":
            values = (values - 127.5) / 127.5
        self._network.setInput(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
        try:
            found = np.asarray(self._network.forward(), np.float32)
        except cv2.error as error:
            raise WeightsError(f"{shown(self._path)} takes no face of 3 x 112 x 112", hint=HINT) from error
        if found.size != max(found.shape) or found.size < 2:
            raise WeightsError(
                f"{shown(self._path)} gives {'x'.join(map(str, found.shape))} numbers, no embedding",
                hint=HINT,
            )
        if not np.isfinite(found).all():
            raise WeightsError(f"{shown(self._path)} gives embeddings that are not numbers", hint=HINT)
        embedding: Embedding = found.ravel() / max(float(np.linalg.norm(found)), 1e-9)
        return embedding


@contextlib.contextmanager
def _quiet_opencv() -> Iterator[None]:
    """OpenCV writes about bad networks on stderr; what is wrong is in the exception."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _scales_itself(model: bytes) -> bool:
    """Whether an ONNX model begins with a subtraction and a multiplication."""
    (graph,) = [value for number, value in _fields(model) if number == 7]
    nodes = [value for number, value in _fields(graph) if number == 1][:FIRST_NODES]
    kinds = {value for node in nodes for number, value in _fields(node) if number == 4}
    return {b"Sub", b"Mul"} <= kinds


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and contents of a protobuf message's fields of variable length; ValueError if it isn't one."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        if key & 7 == 2:
            length, place = _varint(message, place)
            yield key >> 3, message[place : place + length]
            place += length
        elif key & 7 == 0:
            _, place = _varint(message, place)
        elif key & 7 in (1, 5):
            place += 8 if key & 7 == 1 else 4
        else:
            raise ValueError(f"no protobuf message: a field of kind {key & 7}")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """The number that begins at `place`, seven bits a byte, and where it ends."""
    value = 0
    for shift, byte in enumerate(message[place : place + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, place + shift + 1
    raise ValueError("no protobuf message: a number without an end")
