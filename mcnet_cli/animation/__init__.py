"""The pipeline: driving to motion, motion and source to film."""

from mcnet_cli.animation.motion import Motion
from mcnet_cli.animation.motion_file import read_motion, write_motion
from mcnet_cli.animation.pipeline import animate, extract_motion, load_model
from mcnet_cli.animation.plan import AnimationPlan
from mcnet_cli.animation.reference import best_reference, hull_area, hull_scale
from mcnet_cli.animation.report import AnimationReport, AnimationResult
from mcnet_cli.animation.request import (
    AnimationRequest,
    Progress,
    parse_batch_size,
    parse_rate,
    parse_time,
)

__all__ = [
    "AnimationPlan",
    "AnimationReport",
    "AnimationRequest",
    "AnimationResult",
    "Motion",
    "Progress",
    "animate",
    "best_reference",
    "extract_motion",
    "hull_area",
    "hull_scale",
    "load_model",
    "parse_batch_size",
    "parse_rate",
    "parse_time",
    "read_motion",
    "write_motion",
]
