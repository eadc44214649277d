"""MCNet: a still portrait moves like the person in a driving video.

The public API: `animate` an `AnimationRequest`, `extract_motion` of a driving, `load_model`, and the
errors that they raise. Importing this package is cheap; torch is loaded with the first name that needs it.
"""

from typing import TYPE_CHECKING, Any

from mcnet_cli.errors import InputError, McnetError, SystemFailure, UsageError, WeightsError

if TYPE_CHECKING:
    from mcnet_cli.animation import (
        AnimationPlan,
        AnimationReport,
        AnimationRequest,
        Motion,
        Progress,
        animate,
        extract_motion,
        load_model,
    )

__version__ = "0.1.0"

__all__ = [
    "AnimationPlan",
    "AnimationReport",
    "AnimationRequest",
    "InputError",
    "McnetError",
    "Motion",
    "Progress",
    "SystemFailure",
    "UsageError",
    "WeightsError",
    "__version__",
    "animate",
    "extract_motion",
    "load_model",
]


def __getattr__(name: str) -> Any:
    """Loads the pipeline with the first of its names."""
    if name in __all__:
        from mcnet_cli import animation

        return getattr(animation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
