"""How sharp a face is, as seen at the size that networks see it."""

import cv2
import numpy as np

from mcnet_cli.face import CropBox, crop
from mcnet_cli.face.landmarks import Points
from mcnet_cli.face.sampling import Picture

SIDE_PX = 128


def sharpness(rgb: Picture, box: Points) -> float:
    """The variance of the Laplacian (Pech-Pacheco et al. 2000) of a box (4,) in 128 x 128 grey pixels.

    About 12 and less for faces that are out of focus, smeared by motion, or enlarged from few pixels.
    """
    extent = np.maximum(box[2:] - box[:2], 1)
    face = crop(rgb, CropBox(float(box[0]), float(box[1]), float(extent[0]), float(extent[1])), SIDE_PX)
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())
