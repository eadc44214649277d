"""Animation: a driving's motion moves a portrait; in memory by `Animator`, with files by `animate`."""

from mcnet_cli.animation.animate import animate, plan
from mcnet_cli.animation.animator import Animator
from mcnet_cli.animation.report import AnimationPlan, AnimationReport, AnimationResult
from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.animation.retarget import Transfer
from mcnet_cli.animation.source import Portrait
from mcnet_cli.weights.resolve import load_model

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
