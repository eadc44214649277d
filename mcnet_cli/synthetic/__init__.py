"""Synthetic talking heads of any number of people, with exact landmarks: test data, training data."""

from mcnet_cli.face.expression import Expression
from mcnet_cli.synthetic.clip import SyntheticClip, render_clip
from mcnet_cli.synthetic.identity import Identity
from mcnet_cli.synthetic.mesh import Pose
from mcnet_cli.synthetic.render import render

__all__ = ["Expression", "Identity", "Pose", "SyntheticClip", "render", "render_clip"]
