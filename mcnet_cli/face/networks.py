"""Running the shipped TFLite networks in OpenCV."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import WeightsError
from mcnet_cli.files import asset


def read_network(name: str) -> cv2.dnn.Net:
    """A network from the shipped TFLite file `name`; WeightsError if it can't be read."""
    path = asset(name)
    try:
        return cv2.dnn.readNetFromTFLite(np.frombuffer(path.read_bytes(), np.uint8))
    except (cv2.error, OSError) as error:
        raise WeightsError(f"{name} is damaged", hint="install mcnet-cli again") from error


def as_planes(picture: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W, C) values as a network's input (1, C, H, W)."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)


def run_network(
    network: cv2.dnn.Net, planes: NDArray[np.float32], outputs: Sequence[str] | None = None
) -> list[NDArray[np.float32]]:
    """The outputs of these names of a network for a (1, C, H, W) input; None: all."""
    network.setInput(planes)
    return list(network.forward(outputs or network.getUnconnectedOutLayersNames()))


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float32]:
    """The logistic function, without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)
