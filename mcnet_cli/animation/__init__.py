"""Animation: a driving's motion moves a portrait; in memory by `Animator`, with files by `animate`.

Importing this package is cheap: what is asked for can be checked before torch is loaded.
"""

from typing import TYPE_CHECKING, Any

from mcnet_cli.animation.animate import animate, plan
from mcnet_cli.animation.report import AnimationPlan, AnimationReport, AnimationResult
from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.motion.transfer import Transfer
from mcnet_cli.weights.resolve import load_model

if TYPE_CHECKING:
    from mcnet_cli.animation.animator import Animator
    from mcnet_cli.animation.source import Portrait

__all__ = [
    "AnimationPlan",
    "AnimationReport",
    "AnimationRequest",
    "AnimationResult",
    "Animator",
    "Portrait",
    "Transfer",
    "animate",
    "load_model",
    "plan",
]


def __getattr__(name: str) -> Any:
    """Loads the names that need torch when they are first used."""
    if name == "Animator":
        from mcnet_cli.animation.animator import Animator

        return Animator
    if name == "Portrait":
        from mcnet_cli.animation.source import Portrait

        return Portrait
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
