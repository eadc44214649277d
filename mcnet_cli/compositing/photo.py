"""Frames at the photo's own size: people moved before a plate that stands still.

A warp costs the same detail at any size, and nearly all that is seen of a frame is the warped source. So the
network's motion is applied to the photo itself; what the decoder paints is enlarged and shown only inside the
face, where the source has nothing to show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.compositing.layers import BEYOND_CELLS, BLOCK, CELLS, ENLARGED, Front, PhotoLayers, Picture
from mcnet_cli.model.face_parts import FaceParts, Window, grid_of
from mcnet_cli.model.geometry import coordinate_grid

# Width of the edge between what is warped and what is painted at lips and lids, in coordinates of the
# network's square, whose side is 2: a pixel or two at 256².
SOFT_EDGE = 0.012
# Share of paint below which a frame is left as it is warped.
NO_PAINT = 1 / 255


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What the network says of a batch of frames, from which pictures of any size are put together.

    person: (B, 64, 64, 2), where in the source each cell of the person is taken from. whole: the same of
    everything, background included. occlusion: (B, 1, 64, 64), 1 where the warped source can be trusted.
    painted: (B, 3, H, W) in [0, 1], the decoder's picture. source, driving: (1, K, 2) and (B, K, 2) keypoints.
    """

    person: Tensor
    whole: Tensor
    occlusion: Tensor
    painted: Tensor
    source: Tensor
    driving: Tensor

    def __getitem__(self, number: int) -> "Drawing":
        """One frame, as a batch of one."""
        rows = slice(number, number + 1)
        return Drawing(
            self.person[rows],
            self.whole[rows],
            self.occlusion[rows],
            self.painted[rows],
            self.source,
            self.driving[rows],
        )


class PhotoCompositor:
    """Puts frames of one photo together.

    parts: where mouth and eyes are among the network's keypoints; None leaves lips and lids to the network.
    device: where frames are drawn; on a CPU OpenCV does it, elsewhere torch.
    """

    def __init__(self, layers: PhotoLayers, parts: FaceParts | None, device: torch.device) -> None:
        self.layers, self._parts, self._device = layers, parts, device
        self._on_gpu = device.type != "cpu"
        self._pictures: list[Tensor] = []
        if self._on_gpu:
            self._pictures = [_planes(front.picture, device) for front in layers.fronts]

    def frame(self, drawings: Sequence[Drawing]) -> Picture:
        """(H, W, 3) uint8: the photo, its people moved; drawings: of one frame each, in the people's order."""
        frame = self.layers.plate.copy()
        for number, (front, person) in enumerate(zip(self.layers.fronts, self.layers.order, strict=True)):
            part = frame[front.rows, front.columns]
            part[:] = self.drawn(number, part, drawings[person])
        return frame

    def drawn(self, number: int, behind: Picture, drawing: Drawing) -> Picture:
        """(h, w, 3): a front before what is `behind` it."""
        front = self.layers.fronts[number]
        if self._on_gpu:
            return _drawn_by_torch(front, self._pictures[number], behind, drawing, self._parts, self._device)
        return _drawn_by_opencv(front, behind, drawing, self._parts)


def _drawn_by_opencv(front: Front, behind: Picture, drawing: Drawing, parts: FaceParts | None) -> Picture:
    places = _enlarged_rows(_motion(front, drawing), front)
    _correct(front, drawing, parts, places)
    places += _resting(front)
    moved = cv2.remap(front.picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    person, matte = np.ascontiguousarray(moved[..., :3]), np.ascontiguousarray(moved[..., 3])
    paint = _paint(front, drawing, parts)
    if paint is not None:
        (rows, columns), share = paint
        colours = _painted(front, drawing, (rows, columns))
        alpha = (share * (matte[rows, columns] * np.float32(1 / 255)))[..., None]
        part = person[rows, columns].astype(np.float32)
        part += colours * alpha - part * share[..., None]
        person[rows, columns] = np.clip(np.rint(part), 0, 255).astype(np.uint8)
    rest = cv2.cvtColor(cv2.bitwise_not(matte), cv2.COLOR_GRAY2RGB)
    result: Picture = cv2.add(person, cv2.multiply(behind, rest, scale=1 / 255))
    return result
