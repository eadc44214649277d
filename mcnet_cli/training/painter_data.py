"""What the detail painters learn from: which frames of which clips show mouths and eyes that open.

They are cut out once, as `painter_squares` says; training never decodes a clip again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from mcnet_cli.devices import Compute
from mcnet_cli.face import FaceMesh
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
from mcnet_cli.model import MCNet
from mcnet_cli.model.detail_shape import Shape
from mcnet_cli.model.eye_shape import EyeShape
from mcnet_cli.model.mouth_shape import MouthShape
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.frames import Array, read_all
from mcnet_cli.training.painter_squares import MovedSource, PainterData
from mcnet_cli.training.sampling import rng_of

# The least open tenth of a clip's frames gives 60 % of the sources; the others are drawn from all frames.
SHUT_SHARE, SHUT_SOURCES = 0.1, 0.6
# Each source is moved to this many frames. A frame is drawn by its opening plus a constant, so that shut
# mouths and eyes are seen too.
DRIVINGS, BASE_CHANCE = 7, 0.02
# Frames are enlarged or reduced to no more than this side.
MAX_SIDE_PX = 512


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


def _irises(frame: Array, points: Array) -> Array:
    """(2, 2, 2) pixels: of both eyes in a frame the iris's centre and the first point of its rim."""
    found = _face_mesh().again(frame, Mesh(points, 1.0).region)
    rings: Array = found.irises.reshape(2, IRIS_POINTS, 2)[:, :2]
    return rings


_face_mesh = cache(FaceMesh)
