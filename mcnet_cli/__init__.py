"""MCNet: a still portrait moves like the person in a driving video.

The public API. In memory: an `Animator` encodes portraits, reads motions and renders frames. With files:
`animate` an `AnimationRequest`, or `plan` it first. Importing this package is cheap; torch is loaded with the
first name that needs it.
"""

from typing import TYPE_CHECKING, Any

from mcnet_cli.errors import InputError, McnetError, SystemFailure, UsageError, WeightsError
from mcnet_cli.progress import Progress

if TYPE_CHECKING:
    from mcnet_cli.animation import (
        AnimationPlan,
        AnimationReport,
        AnimationRequest,
        AnimationResult,
        Animator,
        Portrait,
        Transfer,
        load_model,
    )
    from mcnet_cli.animation.animate import animate, plan
    from mcnet_cli.face import CropBox
    from mcnet_cli.live.live_animator import LiveAnimator
    from mcnet_cli.motion import (
        BundledMotion,
        Controls,
        EditReport,
        EditRequest,
        Keyframes,
        Motion,
        MotionEdit,
        added,
        bundled_motions,
        joined,
        mixed,
        read_motion,
        write_motion,
    )
    from mcnet_cli.motion.edit import edit

__version__ = "0.1.0"

__all__ = [
    "AnimationPlan",
    "AnimationReport",
    "AnimationRequest",
    "AnimationResult",
    "Animator",
    "BundledMotion",
    "Controls",
    "CropBox",
    "EditReport",
    "EditRequest",
    "InputError",
    "Keyframes",
    "LiveAnimator",
    "McnetError",
    "Motion",
    "MotionEdit",
    "Portrait",
    "Progress",
    "SystemFailure",
    "Transfer",
    "UsageError",
    "WeightsError",
    "__version__",
    "added",
    "animate",
    "bundled_motions",
    "edit",
    "joined",
    "load_model",
    "mixed",
    "plan",
    "read_motion",
    "write_motion",
]


def __getattr__(name: str) -> Any:
    """Loads the part of the package that a name is from."""
    if name == "CropBox":
        from mcnet_cli.face import CropBox

        return CropBox
    if name == "LiveAnimator":
        from mcnet_cli.live.live_animator import LiveAnimator

        return LiveAnimator
    if name in __all__:
        from mcnet_cli import animation, motion

        return getattr(motion if name in motion.__all__ else animation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
