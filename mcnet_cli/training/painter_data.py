"""Mouths and eyes for the detail painters to learn from: pairs of frames of a clip, at the clip's own size.

The source is moved by the network as `mcnet animate` moves a photo, so what a painter sees in training is
what it sees in use. Squares are cut out once; training never decodes a clip again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from mcnet_cli.arrays import resized
from mcnet_cli.checkpoint.safetensors_file import write_tensors
from mcnet_cli.devices import Compute
from mcnet_cli.face import FaceMesh, OuterTracker
from mcnet_cli.face.landmarks import Mesh
from mcnet_cli.face.topology import (
    INNER_EYE_CORNERS,
    IRIS_POINTS,
    LID_OPENINGS,
    MOUTH_CORNERS,
    MOUTH_OPENING,
    OUTER_EYE_CORNERS,
    Pairs,
)
from mcnet_cli.files import atomic_output
from mcnet_cli.model import Keypoints, MCNet
from mcnet_cli.model.detail_shape import Shape, Square
from mcnet_cli.model.eye_shape import EyeShape
from mcnet_cli.model.geometry import grid_sample
from mcnet_cli.model.mouth_shape import MouthShape
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.frames import Array, as_tensor, read_all
from mcnet_cli.training.sampling import rng_of

# The least open tenth of a clip's frames gives 60 % of the sources; the others are drawn from all frames.
SHUT_SHARE, SHUT_SOURCES = 0.1, 0.6
# Each source is moved to this many frames. A frame is drawn by its opening plus a constant, so that shut
# mouths and eyes are seen too.
DRIVINGS, BASE_CHANCE = 7, 0.02
# Frames are enlarged or reduced to no more than this side.
MAX_SIDE_PX = 512
# Standard deviations by which squares around mouths and eyes vary: shift in half sides, logarithm of the
# size, angle in radians.
SHIFT, SCALE, TURN = 0.025, 0.05, 0.05


@dataclass(frozen=True, slots=True)
class FacePart:
    """A part of the face that a painter paints, and which clips show enough of it.

    painter: its field in `ModelConfig` and in the network. shape: the class of its shapes.
    corners, lips: pairs of landmarks whose distances are the width and the opening, one for each side.
    An opening is measured over the width. most_open: driving frames are drawn by their opening, which counts
    no more than this. least_open, most_shut: a clip is used if its most open frames reach the first and its
    least open ones fall to the second. least_px: clips in which the part is narrower are left out. wide_px:
    from this width on a clip gives all pairs that are asked for; softer, narrower ones give fewer.
    """

    name: Literal["mouths", "eyes"]
    painter: Literal["painter", "eye_painter"]
    shape: type[MouthShape] | type[EyeShape]
    corners: Pairs
    lips: Pairs
    most_open: float
    least_open: float
    most_shut: float
    least_px: float
    wide_px: float

    def measured(self, points: Array) -> tuple[Array, Array]:
        """(T,) openings over the width, and (T,) widths, of (T, 468, 2) landmarks; means of both sides."""
        widths, heights = (
            np.mean([np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in pairs], 0).clip(1e-3)
            for pairs in (self.corners, self.lips)
        )
        return heights / widths, widths


MOUTHS = FacePart(
    "mouths",
    "painter",
    MouthShape,
    (MOUTH_CORNERS,),
    MOUTH_OPENING,
    most_open=0.6,
    least_open=0.15,
    most_shut=1.0,
    least_px=32.0,
    wide_px=60.0,
)
EYES = FacePart(
    "eyes",
    "eye_painter",
    EyeShape,
    tuple(zip(OUTER_EYE_CORNERS, INNER_EYE_CORNERS, strict=True)),
    LID_OPENINGS,
    most_open=0.45,
    least_open=0.22,
    most_shut=0.17,
    least_px=20.0,
    wide_px=32.0,
)


def parts_of(config: RunConfig) -> list[FacePart]:
    """The parts of the face whose painters learn in a run."""
    return [part for part in (MOUTHS, EYES) if part.painter in config.painters]


def taught_parts(clips: Sequence[Clip], config: RunConfig) -> list[FacePart]:
    """Those of `parts_of` a run whose painters find something to learn from in its clips."""
    return [
        part
        for part in parts_of(config)
        if any(clip.points is not None and _pairs(part, clip, 0, config) for clip in clips)
    ]


@dataclass(frozen=True, slots=True)
class PainterData:
    """N moved mouths or eyes of M sources, as squares of S pixels; shapes are in their coordinates.

    warped, real: (N, 3, S, S) uint8, the source moved and the frame that it should look like.
    points, arcs: (N, P, 2) and (N, A, L, 2) the driving's shape, with the source's outlines carried along.
    of: (N,) the number of the source. sources: (M, 3, S, S) uint8.
    source_points, source_arcs: (M, P, 2) and (M, A, L, 2).
    """

    warped: Tensor
    real: Tensor
    points: Tensor
    arcs: Tensor
    of: Tensor
    sources: Tensor
    source_points: Tensor
    source_arcs: Tensor

    def __len__(self) -> int:
        return len(self.of)

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
        """Reads what `save` wrote."""
        return cls(**load_file(path))


def collect(
    part: FacePart,
    model: MCNet,
    clips: Sequence[Clip],
    config: RunConfig,
    compute: Compute,
    on_progress: OnProgress,
) -> PainterData:
    """Pairs from all clips in which the part opens, of which there are some.

    The result depends on `model`, the clips and the configuration alone.
    """
    found: list[PainterData] = []
    for number, clip in enumerate(clips):
        if clip.points is not None and (pairs := _pairs(part, clip, number, config)):
            rng = rng_of(config.seed, number, 9)
            found += _of_clip(part, model, clip, pairs, config, compute, rng)
        on_progress(Progress(f"looking for {part.name} that open", number + 1, len(clips), "clips"))
    return PainterData.joined(found)


def _pairs(part: FacePart, clip: Clip, number: int, config: RunConfig) -> list[tuple[int, list[int]]]:
    """Sources, and the frames that each is moved to; none if the clip is of no use."""
    assert clip.points is not None
    opening, widths = part.measured(clip.points)
    width_px = (
        float(np.median(widths)) * min(clip.own_side or config.model.size, MAX_SIDE_PX) / config.model.size
    )
    if np.percentile(opening, 95) < part.least_open or np.percentile(opening, 5) > part.most_shut:
        return []
    if width_px < part.least_px:
        return []
    rng, order = rng_of(config.seed, number, 8), np.argsort(opening, kind="stable")
    shut = order[: max(1, round(SHUT_SHARE * len(order)))]
    weights = np.minimum(opening, part.most_open) + BASE_CHANCE
    count = max(1, round(config.painter.per_clip * min(1.0, width_px / part.wide_px) / DRIVINGS))
    pairs = []
    for _ in range(count):
        source = rng.choice(shut) if rng.random() < SHUT_SOURCES else rng.integers(len(order))
        drivings = rng.choice(len(order), DRIVINGS, p=weights / weights.sum())
        pairs.append((int(source), [int(driving) for driving in drivings]))
    return pairs


def _of_clip(
    part: FacePart,
    model: MCNet,
    clip: Clip,
    pairs: Sequence[tuple[int, list[int]]],
    config: RunConfig,
    compute: Compute,
    rng: np.random.Generator,
) -> Iterator[PainterData]:
    frames, points = _own_frames(clip, config.model.size)
    size = getattr(config.model, part.painter).size
    for source, drivings in pairs:
        chosen = [source, *drivings]
        shown, places = [frames[n] for n in chosen], points[chosen]
        moved = MovedSource.of(model, shown, places, compute)
        if part is MOUTHS:
            shapes: Sequence[tuple[Shape, Shape]] = moved.mouths()
        else:
            shapes = moved.eyes(np.stack(list(map(_irises, shown, places))))
        for before, after in shapes:
            yield moved.cut(before, after, size, rng)


def _own_frames(clip: Clip, size: int) -> tuple[Sequence[Array], Array]:
    """The clip's frames at its own size, and their landmarks in pixels there. size: the network's."""
    assert clip.points is not None
    if clip.path is None:
        return [np.asarray(clip.frames[n]) for n in range(len(clip.frames))], clip.points
    side = min(clip.own_side, MAX_SIDE_PX)
    decoded = read_all(clip.path, side)
    return [decoded[n] for n in clip.numbers], clip.points * (side / size)


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
            sources=_sampled(picture, own.grid(size * fine), fine),
            source_points=inner.points.cpu(),
            source_arcs=inner.arcs.cpu(),
        )

    def _finer(self, square: Square, size: int) -> int:
        """How many samples along each side a pixel of the squares needs, lest it skips pixels of frames."""
        return max(1, round(float(square.half.max()) * self.frames.shape[-1] / size))


def _irises(frame: Array, points: Array) -> Array:
    """(2, 2, 2) pixels: of both eyes in a frame the iris's centre and the first point of its rim."""
    found = _face_mesh().again(frame, Mesh(points, 1.0).region)
    rings: Array = found.irises.reshape(2, IRIS_POINTS, 2)[:, :2]
    return rings


_face_mesh = cache(FaceMesh)


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
