"""Squares around mouths and eyes: of a source that the network moves, and of the frames that were real.

The source is moved as `mcnet animate` moves a photo, at the clip's own size, so what a painter sees in
training is what it sees in use.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from mcnet_cli.arrays import resized
from mcnet_cli.checkpoint.safetensors_file import write_tensors
from mcnet_cli.devices import Compute
from mcnet_cli.errors import InputError, shown
from mcnet_cli.face import OuterTracker
from mcnet_cli.files import atomic_output
from mcnet_cli.model import Keypoints, MCNet
from mcnet_cli.model.detail_shape import Shape, Square
from mcnet_cli.model.eye_shape import EyeShape
from mcnet_cli.model.geometry import grid_sample
from mcnet_cli.model.mouth_shape import MouthShape
from mcnet_cli.training.frames import Array, as_tensor

# Standard deviations by which squares around mouths and eyes vary: shift in half sides, logarithm of the
# size, angle in radians.
SHIFT, SCALE, TURN = 0.025, 0.05, 0.05


PAIRED = ("warped", "real", "points", "arcs", "of", "fineness")  # what `PainterData` has of pairs


@dataclass(frozen=True, slots=True)
class PainterData:
    """N moved mouths or eyes of M sources, as squares of S pixels; shapes are in their coordinates.

    warped, real: (N, 3, S, S) uint8, the source moved and the frame that it should look like.
    points, arcs: (N, P, 2) and (N, A, L, 2) the driving's shape, with the source's outlines carried along.
    of: (N,) the number of the source. fineness: (N,) pixels of the frames over those of the squares, along a
    side. sources: (M, 3, S, S) uint8. source_points, source_arcs: (M, P, 2) and (M, A, L, 2).
    """

    warped: Tensor
    real: Tensor
    points: Tensor
    arcs: Tensor
    of: Tensor
    fineness: Tensor
    sources: Tensor
    source_points: Tensor
    source_arcs: Tensor

    def __len__(self) -> int:
        return len(self.of)

    def pairs(self, numbers: Tensor) -> "PainterData":
        """Some of the pairs, of all the sources."""
        chosen = {name: getattr(self, name)[numbers] for name in PAIRED}
        return replace(self, **chosen)

    @classmethod
    def joined(cls, parts: Sequence["PainterData"]) -> "PainterData":
        """Those of all parts."""
        first = np.cumsum([0, *(len(part.sources) for part in parts[:-1])]).tolist()
        entries = {each.name: torch.cat([getattr(part, each.name) for part in parts]) for each in fields(cls)}
        entries["of"] = torch.cat([part.of + before for part, before in zip(parts, first, strict=True)])
        return cls(**entries)

    def save(self, path: Path) -> None:
        """Writes them to a file that `load` reads."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(path, overwrite=True) as part:
            write_tensors(part, {each.name: getattr(self, each.name) for each in fields(self)}, {})

    @classmethod
    def load(cls, path: Path) -> "PainterData":
        """Reads what `save` wrote; InputError for what another version wrote."""
        tensors = load_file(path)
        if tensors.keys() != {each.name for each in fields(cls)}:
            raise InputError(
                f"{shown(path)} was written by another version of mcnet",
                hint="delete it: what it holds is collected again",
            )
        return cls(**tensors)


@dataclass(frozen=True, slots=True)
class MovedSource:
    """A source moved to B driving frames, at their own size.

    frames: (1 + B, 3, H, W) in [0, 1], the source first. maps: (B, H, W, 2), where in the source pixels of
    the moved one come from. places: (1 + B, 478, 2) landmarks, with those beyond the mesh. values:
    (1 + B, K, 2) keypoints.
    """

    model: MCNet
    frames: Tensor
    maps: Tensor
    places: Tensor
    values: Tensor

    @classmethod
    @torch.inference_mode()
    def of(cls, model: MCNet, frames: Sequence[Array], points: Array, compute: Compute) -> "MovedSource":
        """frames: the source, then the drivings, (S, S, 3). points: (1 + B, 468, 2) landmarks in pixels."""
        side, size, device = frames[0].shape[0], model.config.size, compute.device
        small, tracker = [resized(frame, size, size) for frame in frames], OuterTracker()
        tracked = [tracker(*seen) for seen in zip(small, points * (size / side), strict=True)]
        places = torch.from_numpy(np.stack(tracked)).to(device) * (2 / (size - 1)) - 1
        values = places[:, list(model.config.keypoints.landmarks)]
        picture = as_tensor(np.stack(small[:1]), device)
        count = len(frames) - 1
        driving, parts = Keypoints(values[1:]), model.parts
        assert parts is not None
        with compute.autocast():
            state = model.encode_source(picture, Keypoints(values[:1])).expand(count)
            field = model.generator.dense_motion_network(state.motion_image, state.keypoints, driving)
        person = parts.settled(field.person.float(), state.keypoints.values, driving.values)
        maps = parts.corrected(person, state.keypoints.values, driving.values, (side, side))
        return cls(model, as_tensor(np.stack(frames), device), maps, places, values)

    def mouths(self) -> list[tuple[MouthShape, MouthShape]]:
        """The source's mouth, and those of the drivings with the source's lips."""
        source = MouthShape.of(self.places[:1])
        return [(source, source.moved(self.values[1:, self.model.placing]))]

    def eyes(self, irises: Array) -> list[tuple[EyeShape, EyeShape]]:
        """The same of both eyes. irises: (1 + B, 2, 2, 2) pixels of centres and points of rims."""
        parts, size = self.model.parts, self.model.config.size
        assert parts is not None
        unit = size / self.frames.shape[-1] * (2 / (size - 1))
        rings, found = torch.from_numpy(irises).to(self.places) * unit - 1, []
        for eye in (0, 1):
            source = EyeShape.of(self.places[:1], rings[:1, eye], eye)
            lids, corners = parts.lids(self.values, eye), parts.eye_corners(self.values)
            found.append((source, source.moved(lids[1:], rings[1:, eye], corners[:1], corners[1:])))
        return found

    def cut(self, source: Shape, shape: Shape, size: int, rng: np.random.Generator) -> PainterData:
        """Cuts squares of `size` pixels around the drivings' shapes, which `rng` moves a little."""
        count = len(self.maps)
        square, own = _shaken(shape.square(), rng), _shaken(source.square(), rng)
        fine = self._finer(square, size)
        places = square.grid(size * fine)
        maps = grid_sample(self.maps.permute(0, 3, 1, 2), places, align_corners=True).permute(0, 2, 3, 1)
        picture, real = self.frames[:1], self.frames[1:]
        warped = _sampled(picture.expand(count, -1, -1, -1), maps, fine)
        fine = self._finer(own, size)
        inside, inner = shape.within(square), source.within(own)
        return PainterData(
            warped=warped,
            real=_sampled(real, places, places.shape[1] // size),
            points=inside.points.cpu(),
            arcs=inside.arcs.cpu(),
            of=torch.zeros(count, dtype=torch.long),
            fineness=(square.half * (self.frames.shape[-1] / size)).float().cpu(),
            sources=_sampled(picture, own.grid(size * fine), fine),
            source_points=inner.points.cpu(),
            source_arcs=inner.arcs.cpu(),
        )

    def _finer(self, square: Square, size: int) -> int:
        """How many samples along each side a pixel of the squares needs, lest it skips pixels of frames."""
        return max(1, round(float(square.half.max()) * self.frames.shape[-1] / size))


def _shaken(square: Square, rng: np.random.Generator) -> Square:
    """Squares that are moved, scaled and turned a little at random."""
    count, like = len(square.half), square.half
    shift = torch.from_numpy(rng.normal(0, SHIFT, (count, 2))).to(like)
    scale = torch.from_numpy(np.exp(rng.normal(0, SCALE, count))).to(like)
    angle = torch.from_numpy(rng.normal(0, TURN, count)).to(like)
    turn = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], -1).reshape(-1, 2, 2)
    return Square(square.centre + shift * square.half[:, None], turn @ square.axes, square.half * scale)


def _sampled(pictures: Tensor, places: Tensor, fine: int) -> Tensor:
    """(B, 3, S, S) uint8 of pictures in [0, 1] at (B, S·fine, S·fine, 2) places, on the CPU."""
    sampled = grid_sample(pictures, places, "bicubic", "border", align_corners=True)
    if fine > 1:
        sampled = F.avg_pool2d(sampled, fine)
    return (sampled.clamp(0, 1) * 255).round().byte().cpu()
