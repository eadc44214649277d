"""What of a front all frames need: coordinates, and how cells of a motion become blocks of its pixels."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.arrays import Picture
from mcnet_cli.compositing.details import Canvas
from mcnet_cli.compositing.finer import FineCells
from mcnet_cli.compositing.front import BEYOND_CELLS, BLOCK, CELLS, Front, middles
from mcnet_cli.compositing.front_picture import ENLARGED, ends
from mcnet_cli.model.geometry import coordinate_grid

# Corrections of lids and lips are computed at so many places along a square's side, or up to twice as many,
# and interpolated.
STEP_PER = 140


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """What of a front every frame needs, as tensors: on the CPU, unless it says something else.

    canvas: coordinates of the front's pixels; and on the device what is drawn.
    resting: (2, ⌈H/8⌉ + 2, ⌈W/8⌉ + 2) where blocks' middles are in the enlarged picture when nothing moves.
    scale: (2,) pixels of the enlarged picture a unit of coordinates. cell_area: pixels of the photo that a
        cell of dense motion covers.
    cells: of what is finer than blocks.
    colours_down, colours_across: (H, S) and (W, S), which interpolate the network's S² pixels, on the device.
    colours_rows, colours_columns: the first of these pixels that each row and column is made of, and what
        follows the last.
    """

    canvas: Canvas
    fades: Tensor
    down: Tensor
    across: Tensor
    resting: Tensor
    scale: Tensor
    cell_area: float
    cells: FineCells
    face: Tensor
    colours_down: Tensor
    colours_across: Tensor
    colours_rows: NDArray[np.int_]
    colours_columns: NDArray[np.int_]

    @classmethod
    def of(cls, front: Front, device: torch.device, *, by_opencv: bool) -> "Tables":
        """Those of a front. device, by_opencv: as for `PhotoCompositor`."""

        def tensor(values: object) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32)

        halvings = max(1, round(2 * max(front.scale)) // STEP_PER).bit_length() - 1
        step = min(BLOCK, 1 << halvings)
        x_coarse, y_coarse = (middles(line, step).astype(np.float32) for line in (front.x, front.y))
        coarse, axes = (tensor(x_coarse), tensor(y_coarse)), (tensor(front.x), tensor(front.y))
        height, width = len(front.y), len(front.x)
        y, x = (
            ENLARGED * (BLOCK * np.arange(-1, -(-n // BLOCK) + 1) + (BLOCK - 1) / 2) for n in (height, width)
        )
        rows_above = front.picture.shape[0] - ENLARGED * height
        scale = ENLARGED * np.array(front.scale, np.float32)
        # the first block, which isn't one of the front's, is before the one whose middle is known
        origin = (x[1], y[1] + rows_above) - scale * [middles(line, BLOCK)[0] for line in (front.x, front.y)]
        return cls(
            canvas=Canvas(
                axes=axes,
                coarse=coarse,
                step=step,
                device_axes=(axes[0].to(device), axes[1].to(device)),
                picture=None if by_opencv else _planes(front.picture, device),
            ),
            fades=tensor(front.fades),
            down=tensor(front.down),
            across=tensor(front.across),
            resting=tensor(np.stack(np.meshgrid(x, y + rows_above))),
            scale=tensor(scale),
            cell_area=float(np.prod(2 / (CELLS - 1) * np.array(front.scale))),
            cells=FineCells(front, step, coarse, x_coarse, y_coarse, origin.astype(np.float32), scale),
            face=tensor(front.face),
            colours_down=tensor(front.colours_down).to(device),
            colours_across=tensor(front.colours_across).to(device),
            colours_rows=ends(front.colours_down != 0),
            colours_columns=ends(front.colours_across != 0),
        )

    def places(self, field: Tensor) -> Tensor:
        """(B, 2, ⌈H/8⌉ + 2, ⌈W/8⌉ + 2): where blocks' middles are in the enlarged front; one more around.

        field: (B, 64, 64, 2), the motion.
        """
        displacement = rearrange(field - coordinate_grid(CELLS, CELLS, field), "b h w c -> b c h w")
        padded = F.pad(displacement, (BEYOND_CELLS,) * 4, mode="replicate")
        blocks = F.pad(self.blocks(padded * self.fades), (1, 1, 1, 1), mode="replicate")
        return torch.addcmul(self.resting, blocks, self.scale[:, None, None])

    def blocks(self, cells: Tensor) -> Tensor:
        """(..., ⌈H/8⌉, ⌈W/8⌉): values of blocks, of (..., G, G) cells in and around the network's square."""
        return self.down @ cells @ self.across.T


def _planes(picture: Picture, device: torch.device) -> Tensor:
    """(1, C, H, W) float32 of an (H, W, C) picture."""
    return rearrange(torch.from_numpy(picture).to(device), "h w c -> 1 c h w").float()
