"""Irises at the photo's own size: moved inside their lids to where they are to look.

The network has no keypoints for them, so it moves them with the lids around. What its motion lacks is added
to it, wholly on the iris, and fading to nothing towards the corners of the eye.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mcnet_cli.model.face_parts import Correction
from mcnet_cli.model.geometry import ramp
from mcnet_cli.model.windows import Axes, Window, grid_of, window_around

# In radii of the iris: up to where all moves with it, and from where on nothing does.
RIGID, REACH = 1.0, 2.5
# The farthest that an iris is moved, in its radii: beyond, what lies beside it would fold.
FARTHEST = 0.9
# How deep inside the lids, in radii of the iris, all of an up or down movement is done: the source has no
# eyeball to show from under its lids.
DEPTH = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Gaze:
    """Both irises, the picture's left one first, in coordinates of the network's square.

    source, driving: (1, 2, 2) and (B, 2, 2) their centres, in the source and where they go. radii: (1, 2).
    shown: (1, 2) in [0, 1], how far the source's lids are open to show them.
    lids: (2, 1, S, S) distances from the source's lids around each eye, below 0 between them. frames:
    (2, 2, 2) upper left and lower right corner of the part of the source that each of these maps covers.
    """

    source: Tensor
    driving: Tensor
    radii: Tensor
    shown: Tensor
    lids: Tensor
    frames: Tensor

    def __getitem__(self, number: int) -> "Gaze":
        """One frame, as a batch of one."""
        driving = self.driving[number : number + 1]
        return Gaze(self.source, driving, self.radii, self.shown, self.lids, self.frames)

    def to(self, device: torch.device) -> "Gaze":
        """The same on a device."""
        return Gaze(*(getattr(self, name).to(device) for name in self.__slots__))

    def beyond_lids(self, eye: int, places: Tensor) -> Tensor:
        """(h, w): how far (h, w, 2) places in the source are outside of the lids."""
        low, high = self.frames[eye]
        grid = (2 * (places - low) / (high - low) - 1)[None]
        return F.grid_sample(self.lids[eye][None], grid, padding_mode="border", align_corners=True)[0, 0]


@dataclass(frozen=True, slots=True, eq=False)
class MovedIris:
    """What is added to a motion between the lids of one eye.

    window: of a picture. shift: (h, w, 2) in coordinates. beyond_lids: (h, w), how far pixels are outside of
    the lids; there nothing is added.
    """

    window: Window
    shift: Tensor
    beyond_lids: Tensor


def moved_irises(
    gaze: Gaze, field: Tensor, lids: list[Correction], across: Tensor, axes: Axes, least: float
) -> list[MovedIris]:
    """What one frame's motion lacks to bring both irises where they go.

    field: (1, h, w, 2) the motion. lids: what is added to it around each eye. across: (2,) the unit vector
    from eye to eye. axes: coordinates of the columns and rows of a picture. least: movements below, in
    coordinates, aren't seen.
    """
    planes, moved = rearrange(field, "1 h w c -> 1 c h w"), []
    turn = torch.stack([across, torch.stack([-across[1], across[0]])])

    def taken(places: Tensor, correction: Correction) -> Tensor:
        """(h, w, 2): where in the source (h, w, 2) places are taken from."""
        found = F.grid_sample(planes, places[None], padding_mode="border", align_corners=True)[0]
        return rearrange(found, "c h w -> h w c") + correction.at(axes, places)

    for eye, correction in enumerate(lids):
        place, radius = gaze.driving[0, eye], gaze.radii[0, eye]
        missing = gaze.shown[0, eye] * (gaze.source[0, eye] - taken(place[None, None], correction)[0, 0])
        length = missing.norm()
        if length < least:
            continue
        share = (FARTHEST * radius / length).clamp_max(1)
        place, missing = place + (1 - share) * missing, share * missing
        window = window_around(place[None, None], REACH * radius, axes)
        grid = grid_of(axes, window)
        away = (grid - place).norm(dim=-1) / radius
        near = 1 - ramp(away, RIGID, REACH)
        near = near.square() * (3 - 2 * near)
        beyond = gaze.beyond_lids(eye, taken(grid, correction))
        deep = (-beyond / (DEPTH * radius)).clamp(0, 1)
        sideways, upright = turn @ missing
        shares = torch.stack([near * sideways, near * deep * upright], -1)
        moved.append(MovedIris(window, shares @ turn, beyond))
    return moved
