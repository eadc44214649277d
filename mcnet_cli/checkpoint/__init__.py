"""Weights files: safetensors with metadata that describe the network, and official `.pth.tar` checkpoints.

`safetensors_file` holds the container format, `official` reads what the paper's code saves, `weights_file`
turns either into validated `Weights`. Importing this package is cheap; torch loads with the first name.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcnet_cli.checkpoint.safetensors_file import (
    FORMAT,
    Description,
    is_safetensors,
    landmarks_in,
    read_header,
)
from mcnet_cli.errors import WeightsError
from mcnet_cli.files import require_regular_file

if TYPE_CHECKING:
    from mcnet_cli.checkpoint.weights_file import (
        Weights,
        build_model,
        detector_digest,
        read_weights,
        write_weights,
    )

_LOADED_LATER = "Weights", "build_model", "detector_digest", "read_weights", "write_weights"
__all__ = [
    "Weights",
    "build_model",
    "detector_digest",
    "read_weights",
    "weights_framing",
    "weights_landmarks",
    "write_weights",
]


def __getattr__(name: str) -> Any:
    """Loads the names above from `weights_file` when they are first used."""
    if name not in _LOADED_LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mcnet_cli.checkpoint import weights_file

    return getattr(weights_file, name)


def weights_landmarks(path: Path) -> tuple[int, ...] | None:
    """Which landmark each keypoint of a network is, by the header of its file alone, without torch.

    Empty for learned keypoints. None for files that don't say so, or can't be used, as `read_weights` tells.
    """
    try:
        metadata = read_header(path).metadata if is_safetensors(path) else {}
        if metadata.get("mcnet.format") != FORMAT:
            return None
        return landmarks_in(metadata)
    except (WeightsError, ValueError, TypeError, OverflowError, RecursionError):
        return None


def weights_framing(path: Path) -> dict[str, float] | None:
    """How faces were cropped for training (see `face.crop.Framing`); None if the file doesn't say.

    Of mcnet's own weights the header alone is read, without torch. WeightsError if these are no weights.
    """
    require_regular_file(path, error=WeightsError)
    if is_safetensors(path):
        metadata = read_header(path).metadata
        if metadata.get("mcnet.format") == FORMAT:
            return Description.parse(path, metadata).framing
    from mcnet_cli.checkpoint.weights_file import read_weights  # whatever else it is, and whatever is wrong

    return read_weights(path).framing
