"""Motions: what is recorded of a driving, what controls say, and what is made of both."""

from mcnet_cli.motion.bundled import BundledMotion, bundled_motions
from mcnet_cli.motion.controls import Controls, Keyframes
from mcnet_cli.motion.edit import EditReport, EditRequest, added, edit, joined, mixed
from mcnet_cli.motion.motion import Motion
from mcnet_cli.motion.motion_file import read_motion, write_motion
from mcnet_cli.motion.timing import MotionEdit

__all__ = [
    "BundledMotion",
    "Controls",
    "EditReport",
    "EditRequest",
    "Keyframes",
    "Motion",
    "MotionEdit",
    "added",
    "bundled_motions",
    "edit",
    "joined",
    "mixed",
    "read_motion",
    "write_motion",
]
