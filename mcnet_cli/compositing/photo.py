"""Frames at the photo's own size: people moved before a plate that stands still.

A warp costs the same detail at any size, and nearly all that is seen of a frame is the warped source. So
the network's motion is applied to the photo itself; what the decoder paints is enlarged, and shown only
inside the face, where the source has nothing to show.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mcnet_cli.arrays import Picture
from mcnet_cli.compositing.compose import Drawing
from mcnet_cli.compositing.draw import Movement, draw_by_opencv, draw_by_torch
from mcnet_cli.compositing.frame_memory import FrameMemory
from mcnet_cli.compositing.layers import PhotoLayers
from mcnet_cli.compositing.mover import Mover
from mcnet_cli.model.detail_painter import EyePainter, MouthPainter
from mcnet_cli.model.face_parts import FaceParts
from mcnet_cli.transfers import Later, download


class PhotoCompositor:
    """Puts frames of one photo together.

    What is drawn, and where, is decided on the CPU by a few thousand numbers. A GPU has the photo, draws by
    what it is told, and is asked nothing: what comes back is the finished frame.

    layers: the photo's. parts: where mouth and eyes are among the network's keypoints; None leaves lips and
    lids to the network. device: what draws. by_opencv: or by torch, which is slower on a CPU.
    paints: False shows the warped photo alone, without what the network paints.
    painter, eye_painter: of the inside of mouths and of eyes that open; None leaves that to the network's
    decoder. placing: numbers of the keypoints by which the painter knows where a mouth is.
    """

    def __init__(
        self,
        layers: PhotoLayers,
        parts: FaceParts | None,
        device: torch.device,
        *,
        by_opencv: bool,
        paints: bool = True,
        painter: MouthPainter | None = None,
        eye_painter: EyePainter | None = None,
        placing: Sequence[int] = (),
    ) -> None:
        self.layers, self._memory = layers, FrameMemory(layers.plate)
        self._plate = None if by_opencv else torch.from_numpy(layers.plate).to(device)
        self._movers = [
            Mover(
                front,
                parts,
                device,
                by_opencv=by_opencv,
                paints=paints,
                painter=painter,
                eye_painter=eye_painter,
                placing=placing,
            )
            for front in layers.fronts
        ]

    def frame(self, drawings: Sequence[Drawing]) -> Picture:
        """The photo with its people moved.

        drawings: one frame for each person, in the order in which they were given to `photo_layers`. Returns
        (H, W, 3) uint8, or (H, W, 4) with straight alpha if the layers have no plate.
        """
        (frame,) = self.frames_soon(drawings)
        return frame()

    @torch.inference_mode()
    def frames_soon(self, drawings: Sequence[Drawing]) -> list[Later[Picture]]:
        """B frames, while a GPU still draws; arguments as for `frame`, but of B frames each."""
        if self._plate is None:
            return [partial(self._finished, frame) for frame in self._drawn_by_opencv(drawings)]
        arriving = [download(frame) for frame in self.drawn_by_torch(drawings)]
        return [partial(self._arrived, frame) for frame in arriving]

    def _drawn_by_opencv(self, drawings: Sequence[Drawing]) -> list[Picture]:
        each = [*self._movements(drawings)]
        frames = [self._memory.frame() for _ in each]
        for front, movements in zip(self.layers.fronts, zip(*each, strict=True), strict=True):
            draw_by_opencv(front, movements, [frame[front.rows, front.columns] for frame in frames])
        return frames

    @torch.inference_mode()
    def drawn_by_torch(self, drawings: Sequence[Drawing]) -> Iterator[Tensor]:
        """The frames, (H, W, C) uint8 as `layers.plate`, on the device; nothing of them is known before."""
        assert self._plate is not None
        for movements in self._movements(drawings):
            frame = self._plate.clone()
            for mover, movement in zip(self._movers, movements, strict=True):
                picture, front = mover.tables.canvas.picture, mover.front
                assert picture is not None
                draw_by_torch(picture, movement, frame[front.rows, front.columns])
            yield frame

    def _movements(self, drawings: Sequence[Drawing]) -> Iterator[tuple[Movement, ...]]:
        """What each frame does with all fronts."""
        ordered = (drawings[person] for person in self.layers.order)
        each = [mover.movements(drawing) for mover, drawing in zip(self._movers, ordered, strict=True)]
        return zip(*each, strict=True)

    def _arrived(self, frame: Later[Tensor]) -> Picture:
        return self._finished(frame().numpy())

    def _finished(self, frame: Picture) -> Picture:
        return _straight(frame) if self.layers.is_transparent else frame


def _straight(frame: Picture) -> Picture:
    """(H, W, 4) colours times alpha to colours and alpha."""
    alpha = np.maximum(frame[..., 3:], 1).astype(np.float32)
    colours = np.clip(np.rint(frame[..., :3] * (255 / alpha)), 0, 255).astype(np.uint8)
    return np.dstack([colours, frame[..., 3]])
