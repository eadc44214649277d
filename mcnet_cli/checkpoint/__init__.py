"""Weights files: safetensors with metadata that describe the network, and official `.pth.tar` checkpoints.

`safetensors_file` holds the container format, `official` reads what the paper's code saves, `weights_file`
turns either into validated `Weights`. Importing this package is cheap; torch loads with the first name.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcnet_cli.checkpoint.weights_file import (
        Weights,
        build_model,
        detector_digest,
        read_weights,
        write_weights,
    )

__all__ = ["Weights", "build_model", "detector_digest", "read_weights", "write_weights"]


def __getattr__(name: str) -> Any:
    """Loads the names above from `weights_file` when they are first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mcnet_cli.checkpoint import weights_file

    return getattr(weights_file, name)
