"""Mouths for the detail painter to learn from: pairs of frames of a clip, at the clip's own size.

The source is moved by the network as `mcnet animate` moves a photo, so what the painter sees in training is
what it sees in use. Squares are cut out once; training never decodes a clip again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from mcnet_cli._safetensors import write_tensors
from mcnet_cli.arrays import resized
from mcnet_cli.devices import Compute
from mcnet_cli.errors import InputError
from mcnet_cli.face import OuterTracker
from mcnet_cli.files import atomic_output
from mcnet_cli.model import Keypoints, MCNet
from mcnet_cli.model.mouth_shape import MouthShape, MouthSquare
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.frames import Array, read_all
from mcnet_cli.training.sampling import chance

Show = Callable[[int, int], None]  # clips done, clips in all

# Frames that are the least open are sources in this share of the cases; the others are any frame.
SHUT_SHARE, SHUT_SOURCES = 0.1, 0.6
# A source is moved to so many frames, which are drawn by their opening (over the mouth's width, at most
# `MOST_OPEN`) and a little more, so that shut mouths are seen too.
DRIVINGS, MOST_OPEN, HARDLY_OPEN = 7, 0.6, 0.02
# Clips are left out whose mouth opens less in its most open frames, or is narrower than so many pixels.
LEAST_OPEN, LEAST_WIDTH_PX = 0.15, 32.0
# Clips whose mouths are so wide have all the pairs that are asked for; narrower ones, which are softer,
# fewer.
WIDE_PX = 60.0
# Frames are enlarged or reduced to no more than this side.
LONGEST_PX = 512
# Standard deviations of a square's place around a mouth: of the shift, in its half sides, of the logarithm of
# its size and of its angle in radians.
SHIFT, SCALE, TURN = 0.025, 0.05, 0.05


@dataclass(frozen=True, slots=True)
class Mouths:
    """N moved mouths of M sources, as squares of S pixels; shapes are in coordinates of the squares.

    warped, real: (N, 3, S, S) uint8, the source moved and the frame that it should look like.
    points, lips: (N, 10, 2) and (N, 4, 11, 2) the driving's mouth, with the source's lips.
    of: (N,) the number of the source. sources: (M, 3, S, S) uint8.
    source_points, source_lips: (M, 10, 2) and (M, 4, 11, 2).
    """

    warped: Tensor
    real: Tensor
    points: Tensor
    lips: Tensor
    of: Tensor
    sources: Tensor
    source_points: Tensor
    source_lips: Tensor

    def __len__(self) -> int:
        return len(self.of)

    @classmethod
    def joined(cls, parts: Sequence["Mouths"]) -> "Mouths":
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
    def load(cls, path: Path) -> "Mouths":
        """Reads what `save` wrote."""
        return cls(**load_file(path))


def gather_mouths(
    model: MCNet, clips: Sequence[Clip], config: RunConfig, compute: Compute, show: Show
) -> Mouths:
    """Pairs of all clips in which a mouth opens; InputError if there is none.

    Depends on `model`, the clips and the configuration alone.
    """
    found = []
    for number, clip in enumerate(clips):
        if clip.points is not None and (pairs := _pairs(clip, number, config)):
            found.append(_of_clip(model, clip, pairs, config, compute, chance(config.seed, number, 9)))
        show(number + 1, len(clips))
    if not found:
        raise InputError("no clip shows a mouth that opens wide enough for the detail painter to learn")
    return Mouths.joined(found)


def _pairs(clip: Clip, number: int, config: RunConfig) -> list[tuple[int, list[int]]]:
    """Sources, and the frames that each is moved to; none if the clip is of no use."""
    assert clip.points is not None
    widths = np.linalg.norm(clip.points[:, 61] - clip.points[:, 291], axis=1).clip(1e-3)
    opening = np.linalg.norm(clip.points[:, 13] - clip.points[:, 14], axis=1) / widths
    width_px = (
        float(np.median(widths)) * min(clip.own_side or config.model.size, LONGEST_PX) / config.model.size
    )
    if np.percentile(opening, 95) < LEAST_OPEN or width_px < LEAST_WIDTH_PX:
        return []
    rng, order = chance(config.seed, number, 8), np.argsort(opening, kind="stable")
    shut = order[: max(1, round(SHUT_SHARE * len(order)))]
    weights = np.minimum(opening, MOST_OPEN) + HARDLY_OPEN
    count = max(1, round(config.painter.per_clip * min(1.0, width_px / WIDE_PX) / DRIVINGS))
    pairs = []
    for _ in range(count):
        source = rng.choice(shut) if rng.random() < SHUT_SOURCES else rng.integers(len(order))
        drivings = rng.choice(len(order), DRIVINGS, p=weights / weights.sum())
        pairs.append((int(source), [int(driving) for driving in drivings]))
    return pairs


def _of_clip(
    model: MCNet,
    clip: Clip,
    pairs: Sequence[tuple[int, list[int]]],
    config: RunConfig,
    compute: Compute,
    rng: np.random.Generator,
) -> Mouths:
    frames, points = own_frames(clip, config.model.size)
    parts = []
    for source, drivings in pairs:
        chosen = [source, *drivings]
        moved = MovedMouths.of(model, [frames[n] for n in chosen], points[chosen], compute)
        parts.append(moved.cut(config.model.painter.size, rng))
    return Mouths.joined(parts)


def own_frames(clip: Clip, size: int) -> tuple[Sequence[Array], Array]:
    """The clip's frames at its own size, and their landmarks in pixels there. size: the network's."""
    assert clip.points is not None
    if clip.path is None:
        return [np.asarray(clip.frames[n]) for n in range(len(clip.frames))], clip.points
    side = min(clip.own_side, LONGEST_PX)
    decoded = read_all(clip.path, side)
    return [decoded[n] for n in clip.numbers], clip.points * (side / size)


@dataclass(frozen=True, slots=True)
class MovedMouths:
    """A source moved to B driving frames, at their own size.

    frames: (1 + B, 3, H, W) in [0, 1], the source first. maps: (B, H, W, 2), where in the source pixels of
    the moved one come from. source: its mouth. shape: the drivings' mouths.
    """

    frames: Tensor
    maps: Tensor
    source: MouthShape
    shape: MouthShape

    @classmethod
    @torch.inference_mode()
    def of(cls, model: MCNet, frames: Sequence[Array], points: Array, compute: Compute) -> "MovedMouths":
        """frames: the source, then the drivings, (S, S, 3). points: (1 + B, 468, 2) landmarks in pixels."""
        side, size, device = frames[0].shape[0], model.config.size, compute.device
        small, tracker = [resized(frame, size, size) for frame in frames], OuterTracker()
        tracked = [tracker(*seen) for seen in zip(small, points * (size / side), strict=True)]
        places = torch.from_numpy(np.stack(tracked)).to(device) * (2 / (size - 1)) - 1
        values = places[:, list(model.config.keypoints.landmarks)]
        picture = _pictures([small[0]], device)
        count = len(frames) - 1
        driving, parts = Keypoints(values[1:]), model.parts
        assert parts is not None
        with compute.autocast():
            state = model.encode_source(picture, Keypoints(values[:1])).expand(count)
            field = model.generator.dense_motion_network(state.motion_image, state.keypoints, driving)
        person = parts.settled(field.without_background().float(), state.keypoints.values, driving.values)
        maps = parts.corrected(person, state.keypoints.values, driving.values, (side, side))
        source = MouthShape.of(places[:1])
        shape = source.moved(driving.values[:, model.placing])
        return cls(_pictures(frames, device), maps, source, shape)

    def cut(self, size: int, rng: np.random.Generator | None) -> Mouths:
        """Squares of `size` pixels around the mouths; rng moves them a little at random."""
        count = len(self.maps)
        square, own = _shaken(self.shape.square(), rng), _shaken(self.source.square(), rng)
        fine = self._finer(square, size)
        places = square.grid(size * fine)
        maps = F.grid_sample(self.maps.permute(0, 3, 1, 2), places, align_corners=True).permute(0, 2, 3, 1)
        source, real = self.frames[:1], self.frames[1:]
        warped = _sampled(source.expand(count, -1, -1, -1), maps, fine)
        fine = self._finer(own, size)
        shape, inner = square.shape_within(self.shape), own.shape_within(self.source)
        return Mouths(
            warped=warped,
            real=_sampled(real, places, places.shape[1] // size),
            points=shape.points.cpu(),
            lips=shape.lips.cpu(),
            of=torch.zeros(count, dtype=torch.long),
            sources=_sampled(source, own.grid(size * fine), fine),
            source_points=inner.points.cpu(),
            source_lips=inner.lips.cpu(),
        )

    def _finer(self, square: MouthSquare, size: int) -> int:
        """How many samples along each side a pixel of the squares needs, lest it skips pixels of frames."""
        return max(1, round(float(square.half.max()) * self.frames.shape[-1] / size))


def _shaken(square: MouthSquare, rng: np.random.Generator | None) -> MouthSquare:
    """Squares at places that chance moves a little."""
    if rng is None:
        return square
    count, like = len(square.half), square.half
    shift = torch.from_numpy(rng.normal(0, SHIFT, (count, 2))).to(like)
    scale = torch.from_numpy(np.exp(rng.normal(0, SCALE, count))).to(like)
    angle = torch.from_numpy(rng.normal(0, TURN, count)).to(like)
    turn = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], -1).reshape(-1, 2, 2)
    return MouthSquare(square.centre + shift * square.half[:, None], turn @ square.axes, square.half * scale)


def _sampled(pictures: Tensor, places: Tensor, fine: int) -> Tensor:
    """(B, 3, S, S) uint8 of pictures in [0, 1] at (B, S·fine, S·fine, 2) places, on the CPU."""
    sampled = F.grid_sample(pictures, places, "bicubic", "border", align_corners=True)
    if fine > 1:
        sampled = F.avg_pool2d(sampled, fine)
    return (sampled.clamp(0, 1) * 255).round().byte().cpu()


def _pictures(frames: Sequence[Array], device: torch.device) -> Tensor:
    """(B, 3, H, W) in [0, 1] of (H, W, 3) uint8."""
    return torch.from_numpy(np.stack(frames)).to(device).permute(0, 3, 1, 2).float() / 255
