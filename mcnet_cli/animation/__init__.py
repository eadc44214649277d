"""Animation: a driving's motion moves a portrait; in memory by `Animator`, with files by `animate`."""

from mcnet_cli.animation.animate import animate, plan
from mcnet_cli.animation.animator import Animator
from mcnet_cli.animation.bundled import BundledMotion, bundled_motions
from mcnet_cli.animation.controls import Controls
from mcnet_cli.animation.edit import EditReport, EditRequest, edit
from mcnet_cli.animation.editing import MotionEdit, added, joined, mixed
from mcnet_cli.animation.keyframes import Keyframes
from mcnet_cli.animation.live import LiveAnimator
from mcnet_cli.animation.motion import Motion
from mcnet_cli.animation.motion_file import read_motion, write_motion
from mcnet_cli.animation.renderer import load_model
from mcnet_cli.animation.report import AnimationPlan, AnimationReport, AnimationResult
from mcnet_cli.animation.request import RETURN_S, AnimationRequest
from mcnet_cli.animation.retarget import Transfer
from mcnet_cli.animation.source import Portrait

__all__ = [
    "RETURN_S",
    "AnimationPlan",
    "AnimationReport",
    "AnimationRequest",
    "AnimationResult",
    "Animator",
    "BundledMotion",
    "Controls",
    "EditReport",
    "EditRequest",
    "Keyframes",
    "LiveAnimator",
    "Motion",
    "MotionEdit",
    "Portrait",
    "Transfer",
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
