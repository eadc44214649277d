"""Frames at the photo's own size: people moved before a plate that stands still.

A warp costs the same detail at any size, and nearly all that is seen of a frame is the warped source. So
the network's motion is applied to the photo itself; what the decoder paints is enlarged, and shown only
inside the face, where the source has nothing to show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mcnet_cli.compositing.compose import Drawing
from mcnet_cli.compositing.layers import BEYOND_CELLS, BLOCK, CELLS, ENLARGED, Front, PhotoLayers
from mcnet_cli.compositing.plate import Picture, over
from mcnet_cli.model.face_parts import FaceParts, Window, grid_of
from mcnet_cli.model.geometry import coordinate_grid, ramp

# Width of the edge between what is warped and what is painted at lips and lids, in coordinates of the
# network's square, whose side is 2: a pixel or two at 256².
SOFT_EDGE = 0.012
# Distrust of the warped source (1 - occlusion) up to which it is shown alone. The network distrusts nine
# tenths of a face by 0.02 to 0.12, and a veil of its soft picture would cost sharpness; what it really paints
# it distrusts by nearly 1.
DISTRUST = 0.15
# Share of paint below which a frame is left as it is warped.
NO_PAINT = 1 / 255


class PhotoCompositor:
    """Puts frames of one photo together.

    layers: the photo's. parts: where mouth and eyes are among the network's keypoints; None leaves lips and
    lids to the network. device: where drawings are. by_opencv: or by torch, which is slower on a CPU.
    """

    def __init__(
        self, layers: PhotoLayers, parts: FaceParts | None, device: torch.device, *, by_opencv: bool
    ) -> None:
        self.layers, self._parts, self._by_opencv = layers, parts, by_opencv
        self._tables = [_Tables.of(front, device, by_opencv=by_opencv) for front in layers.fronts]

    @torch.inference_mode()
    def frame(self, drawings: Sequence[Drawing]) -> Picture:
        """The photo with its people moved.

        drawings: one frame for each person, in the order in which they were given to `photo_layers`. Returns
        (H, W, 3) uint8, or (H, W, 4) with straight alpha if the layers have no plate.
        """
        frame: Picture = self.layers.plate.copy()
        for front, tables, person in zip(self.layers.fronts, self._tables, self.layers.order, strict=True):
            behind = frame[front.rows, front.columns]
            draw = self._drawn_by_opencv if self._by_opencv else self._drawn_by_torch
            behind[:] = draw(front, tables, drawings[person], behind)
        return _straight(frame) if self.layers.is_transparent else frame

    def _drawn_by_opencv(self, front: Front, tables: "_Tables", drawing: Drawing, behind: Picture) -> Picture:
        """(h, w, 3 or 4): a front before what is behind it."""
        height, width = len(front.y), len(front.x)
        blocks = _motion(tables, drawing, whole=front.whole).numpy()
        size = BLOCK * blocks.shape[1], BLOCK * blocks.shape[0]
        places = cv2.resize(blocks, size, interpolation=cv2.INTER_LINEAR)[:height, :width]
        for (rows, columns), correction in _corrections(tables, drawing, self._parts, whole=front.whole):
            places[rows, columns] += correction.numpy()
        cv2.add(places, front.resting, dst=places)
        moved: Picture = cv2.remap(
            front.picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        painted = _paint(tables, drawing, self._parts, whole=front.whole)
        if painted is not None:
            (rows, columns), share, colours = painted
            part = moved[rows, columns]
            mixed = colours.numpy()
            mixed *= part[..., 3:] * np.float32(1 / 255)
            mixed -= part[..., :3]
            mixed *= share.numpy()[..., None]
            mixed += part[..., :3]
            part[..., :3] = cv2.convertScaleAbs(mixed)  # rounds; mixtures are never negative
        return over(moved, behind)

    def _drawn_by_torch(self, front: Front, tables: "_Tables", drawing: Drawing, behind: Picture) -> Picture:
        """The same on any device, in float32: the plain twin of `_drawn_by_opencv`."""
        height, width = len(front.y), len(front.x)
        blocks = rearrange(_motion(tables, drawing, whole=front.whole), "h w c -> 1 c h w")
        large = F.interpolate(blocks, scale_factor=float(BLOCK), mode="bilinear", align_corners=False)
        places = rearrange(large[0, :, :height, :width], "c h w -> h w c").clone()
        for (rows, columns), correction in _corrections(tables, drawing, self._parts, whole=front.whole):
            places[rows, columns] += correction
        places = places + tables.resting
        sides = torch.tensor(tables.picture.shape[:1:-1], device=places.device)
        grid = ((2 * places + 1) / sides - 1)[None]
        moved = F.grid_sample(tables.picture, grid, padding_mode="border", align_corners=False)[0]
        person, matte = moved[:3], moved[3:]
        painted = _paint(tables, drawing, self._parts, whole=front.whole)
        if painted is not None:
            (rows, columns), share, colours = painted
            part, alpha = person[:, rows, columns], matte[:, rows, columns] / 255
            person[:, rows, columns] = torch.lerp(part, rearrange(colours, "h w c -> c h w") * alpha, share)
        if behind.shape[2] == 4:
            person = torch.cat([person, matte])
        below = torch.from_numpy(behind).to(places.device).permute(2, 0, 1)
        result = (person + below * (1 - matte / 255)).round().clamp(0, 255).to(torch.uint8)
        return rearrange(result, "c h w -> h w c").cpu().numpy()


def _straight(frame: Picture) -> Picture:
    """(H, W, 4) colours times alpha to colours and alpha."""
    alpha = np.maximum(frame[..., 3:], 1).astype(np.float32)
    colours = np.clip(np.rint(frame[..., :3] * (255 / alpha)), 0, 255).astype(np.uint8)
    return np.dstack([colours, frame[..., 3]])


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """What of a front every frame needs, as tensors on the device.

    picture: (1, 4, H, W) in float32; where OpenCV draws, it and `resting` are empty.
    scale: (2,) pixels of the enlarged picture a unit of coordinates.
    """

    picture: Tensor
    resting: Tensor
    fades: Tensor
    down: Tensor
    across: Tensor
    axes: tuple[Tensor, Tensor]
    scale: Tensor
    face: Tensor

    @classmethod
    def of(cls, front: Front, device: torch.device, *, by_opencv: bool) -> "_Tables":
        def tensor(values: object) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=device)

        return cls(
            picture=torch.empty(0) if by_opencv else _planes(front.picture, device),
            resting=torch.empty(0) if by_opencv else tensor(front.resting),
            fades=tensor(front.fades),
            down=tensor(front.down),
            across=tensor(front.across),
            axes=(tensor(front.x), tensor(front.y)),
            scale=ENLARGED * tensor(front.scale),
            face=tensor(front.face),
        )


def _planes(picture: Picture, device: torch.device) -> Tensor:
    """(1, C, H, W) float32 of an (H, W, C) picture."""
    return rearrange(torch.from_numpy(picture).to(device), "h w c -> 1 c h w").float()


def _motion(tables: _Tables, drawing: Drawing, *, whole: bool) -> Tensor:
    """(⌈H/8⌉, ⌈W/8⌉, 2) displacements in pixels of the enlarged front, at every eighth row and column."""
    field = (drawing.whole if whole else drawing.person).float()
    displacement = field - coordinate_grid(CELLS, CELLS, field)
    padded = F.pad(rearrange(displacement, "1 h w c -> 1 c h w"), (BEYOND_CELLS,) * 4, mode="replicate")[0]
    blocks = tables.down @ (padded * tables.fades) @ tables.across.T
    return rearrange(blocks, "c h w -> h w c").contiguous() * tables.scale


def _corrections(
    tables: _Tables, drawing: Drawing, parts: FaceParts | None, *, whole: bool
) -> list[tuple[Window, Tensor]]:
    """What brings lids and lips where the driving has them: windows, and (h, w, 2) in the enlarged front."""
    if parts is None:
        return []
    field = (drawing.whole if whole else drawing.person).float()
    found = parts.corrections(field, drawing.source, drawing.driving, tables.axes)
    return [(window, correction[0] * tables.scale) for window, correction in found]


def _paint(
    tables: _Tables, drawing: Drawing, parts: FaceParts | None, *, whole: bool
) -> tuple[Window, Tensor, Tensor] | None:
    """What the decoder paints: a window, the share of paint (h, w), and its colours (h, w, 3), 0 to 255.

    None where the warped source shows all.
    """
    field = (drawing.whole if whole else drawing.person).float()
    face = F.grid_sample(tables.face[None, None], field, padding_mode="border", align_corners=True)
    untrusted = ramp(1 - drawing.occlusion.float(), DISTRUST, 1) * face
    blocks = tables.down @ F.pad(untrusted, (BEYOND_CELLS,) * 4)[0, 0] @ tables.across.T
    x, y = tables.axes
    parted = _parted(tables, drawing, parts)
    windows = [
        *_seen(blocks, len(y), len(x)),
        *(window for window, share, _ in parted if share.max() > NO_PAINT),
    ]
    if not windows:
        return None
    # whole blocks, so that a window's part of the enlarged map is the same as the whole's
    top, left = (min(window[k].start for window in windows) // BLOCK for k in (0, 1))
    bottom, right = (-(-max(window[k].stop for window in windows) // BLOCK) for k in (0, 1))
    rows = slice(top * BLOCK, min(bottom * BLOCK, len(y)))
    columns = slice(left * BLOCK, min(right * BLOCK, len(x)))
    part = blocks[None, None, top:bottom, left:right]
    large = F.interpolate(part, scale_factor=float(BLOCK), mode="bilinear", align_corners=False)[0, 0]
    share = large[: rows.stop - rows.start, : columns.stop - columns.start].clamp(0, 1)
    for (down, across), painted, deciding in parted:
        # of a window what lies in the common one
        low, high = max(down.start, rows.start), min(down.stop, rows.stop)
        first, last = max(across.start, columns.start), min(across.stop, columns.stop)
        if low >= high or first >= last:
            continue
        here = slice(low - rows.start, high - rows.start), slice(first - columns.start, last - columns.start)
        own = slice(low - down.start, high - down.start), slice(first - across.start, last - across.start)
        if deciding is None:
            share[here] = torch.maximum(share[here], painted[own])
        else:
            share[here] = torch.lerp(share[here], painted[own], deciding[own])
    grid = grid_of((x[columns], y[rows]), (slice(None), slice(None)))[None]
    colours = F.grid_sample(
        drawing.painted.float(), grid, mode="bicubic", padding_mode="border", align_corners=True
    )
    return (rows, columns), share, rearrange(colours[0].clamp(0, 1) * 255, "c h w -> h w c").contiguous()


def _parted(
    tables: _Tables, drawing: Drawing, parts: FaceParts | None
) -> list[tuple[Window, Tensor, Tensor | None]]:
    """The mouth and the eyes: a window, what in it is painted, and where that alone decides or None."""
    if parts is None:
        return []
    source, driving, axes = drawing.source, drawing.driving, tables.axes
    mouth = parts.mouth_window(driving, axes)
    inside, lips = parts.mouth_painted(source, driving, grid_of(axes, mouth), SOFT_EDGE)
    found: list[tuple[Window, Tensor, Tensor | None]] = [(mouth, inside[0, 0], lips[0, 0])]
    for eye in parts.eyes_windows(driving, axes):
        opened = parts.eyes_painted(source, driving, grid_of(axes, eye), SOFT_EDGE)
        found.append((eye, opened[0, 0], None))
    return found


def _seen(blocks: Tensor, height: int, width: int) -> list[Window]:
    """The part of a picture that blocks of eight pixels with paint in them make up; none without any."""
    rows, columns = ((blocks > NO_PAINT).any(dim).nonzero()[:, 0] for dim in (1, 0))
    if not len(rows):
        return []
    spans = []
    for found, length in ((rows, height), (columns, width)):
        first, last = int(found[0]), int(found[-1])
        spans.append(slice(min(BLOCK * first, length - 1), min(BLOCK * (last + 1), length)))
    return [(spans[0], spans[1])]
