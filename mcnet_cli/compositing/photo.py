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
    cv2.add(places, front.resting, dst=places)
    moved = cv2.remap(front.picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    person, matte = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), cv2.extractChannel(moved, 3)
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


def _motion(front: Front, drawing: Drawing) -> NDArray[np.float32]:
    """(⌈H/8⌉, ⌈W/8⌉, 2) displacements in pixels of the enlarged front, at every eighth row and column."""
    field = (drawing.whole if front.whole else drawing.person)[0].float().cpu().numpy()
    displacement = field - _cells_at_rest()
    around = ((BEYOND_CELLS, BEYOND_CELLS), (BEYOND_CELLS, BEYOND_CELLS), (0, 0))
    displacement = np.pad(displacement, around, mode="edge") * front.fades[..., None]
    moved = np.einsum("yg,ghc,xh->yxc", front.down, displacement, front.across, optimize=True)
    result: NDArray[np.float32] = (moved * (ENLARGED * np.float32(front.scale))).astype(np.float32)
    return result


def _cells_at_rest() -> NDArray[np.float32]:
    """(64, 64, 2) coordinates of dense motion's cells."""
    return coordinate_grid(CELLS, CELLS, torch.zeros(())).numpy()


def _enlarged_rows(blocks: NDArray[np.float32], front: Front) -> NDArray[np.float32]:
    """(H, W, 2) or (H, W) of values at every eighth row and column of a front's part of the photo."""
    height, width = len(front.y), len(front.x)
    size = BLOCK * blocks.shape[1], BLOCK * blocks.shape[0]
    large: NDArray[np.float32] = cv2.resize(blocks, size, interpolation=cv2.INTER_LINEAR)
    return large[:height, :width]


def _correct(
    front: Front, drawing: Drawing, parts: FaceParts | None, places: NDArray[np.float32]
) -> None:
    """Adds to displacements (H, W, 2) what brings lids and lips where the driving has them."""
    if parts is None:
        return
    field = drawing.whole if front.whole else drawing.person
    axes = (torch.from_numpy(front.x), torch.from_numpy(front.y))
    for (rows, columns), correction in parts.corrections(
        field.float().cpu(), drawing.source.cpu(), drawing.driving.cpu(), axes
    ):
        places[rows, columns] += correction[0].numpy() * (ENLARGED * np.float32(front.scale))


def _paint(
    front: Front, drawing: Drawing, parts: FaceParts | None
) -> tuple[Window, NDArray[np.float32]] | None:
    """The window of a front's part of the photo that is painted in, and the share of paint; None for none."""
    field = (drawing.whole if front.whole else drawing.person)[0].float().cpu().numpy()
    where = (field + 1) / 2 * (CELLS - 1)
    face = cv2.remap(front.face, where.astype(np.float32), None, cv2.INTER_LINEAR)
    untrusted = (1 - drawing.occlusion[0, 0].float().cpu().numpy()) * face
    blocks = front.down @ np.pad(untrusted, BEYOND_CELLS) @ front.across.T
    seen = np.argwhere(blocks > NO_PAINT)
    x, y = torch.from_numpy(front.x), torch.from_numpy(front.y)
    windows = []
    if len(seen):
        (top, left), (bottom, right) = BLOCK * seen.min(0), BLOCK * (seen.max(0) + 1)
        windows.append((slice(top, bottom), slice(left, right)))
    source, driving = drawing.source.cpu(), drawing.driving.cpu()
    if parts is not None:
        windows += [parts.mouth_window(driving, (x, y)), *parts.eyes_windows(driving, (x, y))]
    if not windows:
        return None
    rows = slice(min(w[0].start for w in windows), min(max(w[0].stop for w in windows), len(y)))
    columns = slice(min(w[1].start for w in windows), min(max(w[1].stop for w in windows), len(x)))
    share = np.clip(_enlarged_rows(blocks.astype(np.float32), front)[rows, columns], 0, 1)
    if parts is not None:
        axes = x[columns], y[rows]
        mouth = parts.mouth_window(driving, axes)
        painted, lips = parts.mouth_painted(source, driving, grid_of(axes, mouth), SOFT_EDGE)
        share[mouth] = share[mouth] * (1 - lips[0, 0].numpy()) + (painted * lips)[0, 0].numpy()
        for eye in parts.eyes_windows(driving, axes):
            opened = parts.eyes_painted(source, driving, grid_of(axes, eye), SOFT_EDGE)
            share[eye] = np.maximum(share[eye], opened[0, 0].numpy())
    return ((rows, columns), share) if share.max() > NO_PAINT else None


def _painted(front: Front, drawing: Drawing, window: Window) -> NDArray[np.float32]:
    """(h, w, 3) the decoder's picture, 0 to 255, in a window of a front's part of the photo."""
    picture = drawing.painted[0].float().permute(1, 2, 0).mul(255).cpu().numpy()
    size, (rows, columns) = picture.shape[0], window
    y, x = front.y[rows], front.x[columns]
    # pixel i of the network's picture lies at 2i / (size - 1) - 1
    half = (size - 1) / 2
    step_y = (y[-1] - y[0]) / max(len(y) - 1, 1) * half
    step_x = (x[-1] - x[0]) / max(len(x) - 1, 1) * half
    transform = np.array([[step_x, 0, (x[0] + 1) * half], [0, step_y, (y[0] + 1) * half]], np.float64)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    colours: NDArray[np.float32] = cv2.warpAffine(
        picture, transform, (len(x), len(y)), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.clip(colours, 0, 255)
