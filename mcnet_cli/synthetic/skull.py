"""The skull: a rounded box that the back of the head and the hair lie on."""

import numpy as np

from mcnet_cli.synthetic.topology import Points

CENTRE = np.array([0.0, -0.25, 0.72])
RADII = np.array([0.455, 0.57, 0.62])
BOXINESS = 2.5  # 2: an ellipsoid


def boxy(direction: Points) -> Points:
    """(...,) how far the rounded box lies along (..., 3) directions, relative to the ellipsoid of RADII.

    Directions are in units of RADII; their length does not matter.
    """
    size = np.linalg.norm(direction, axis=-1, keepdims=True)
    unit = np.abs(direction) / size
    reach: Points = (unit**BOXINESS).sum(-1) ** (-1 / BOXINESS)
    return reach
