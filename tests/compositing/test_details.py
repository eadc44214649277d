"""Mouths painted at the photo's own size: where the paint goes, what the painter sees, both ways to draw."""

from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from face_tools import animator, example

from mcnet_cli.compositing import Drawing, Gaze, PhotoCompositor, PhotoLayers, details, photo_layers
from mcnet_cli.model.config import PainterConfig
from mcnet_cli.model.detail_paint import Painted
from mcnet_cli.model.detail_painter import EyePainter, MouthPainter
from mcnet_cli.model.detail_shape import beyond_arcs
from mcnet_cli.model.geometry import Keypoints
from mcnet_cli.model.mouth_shape import MouthShape

PLACES = {13: -0.06, 14: 0.08, 0: -0.06, 17: 0.08, 152: 0.08}  # what opens a mouth, in coordinates


@cache
def layers() -> PhotoLayers:
    return photo_layers(example().photo, example().people, 256)


@cache
def painter(size: int = 64) -> MouthPainter:
    torch.manual_seed(0)
    return MouthPainter(PainterConfig(size=size, channels=(12, 16, 16), tokens=4)).eval()


@cache
def enlarging(size: int) -> MouthPainter:
    torch.manual_seed(0)
    return MouthPainter(PainterConfig(size=size, channels=(12, 16, 16), tokens=4, enlarger=8)).eval()


def placing() -> list[int]:
    model = animator().renderer.model
    config = replace(model.config, painter=PainterConfig(size=64))
    return [config.keypoints.landmarks.index(point) for point in (61, 291, 13, 14, 0, 17, 33, 263, 1, 152)]


@cache
def drawing(share: float) -> Drawing:
    """The example with its mouth open by a share of `PLACES`."""
    face, landmarks = example().faces[0], animator().renderer.landmarks
    values = face.source.keypoints.values.clone()
    for point, shift in PLACES.items():
        values[:, landmarks.index(point), 1] += share * shift
    return animator().renderer.draw(face.source, Keypoints(values))


def drawn(
    share: float,
    *,
    painted: bool = True,
    by_opencv: bool = True,
    outlines: bool = True,
    made: MouthPainter | None = None,
) -> np.ndarray:
    parts, device = animator().renderer.model.parts, torch.device("cpu")
    known = layers()
    if not outlines:
        fronts = tuple(replace(front, mouth=None) for front in known.fronts)
        known = replace(known, fronts=fronts)
    made = made or (painter() if painted else None)
    compositor = PhotoCompositor(
        known, parts, device, by_opencv=by_opencv, painter=made, placing=placing() if painted else ()
    )
    return compositor.frame([drawing(share)])


def lips_distances(share: float) -> np.ndarray:
    """(H, W) how far pixels of the photo are out of the driving's inner lips, in mouth's widths."""
    front = layers().fronts[0]
    assert front.mouth is not None
    numbers = placing()
    source = MouthShape(drawing(share).source[:, numbers], torch.from_numpy(front.mouth)[None])
    shape = source.moved(drawing(share).driving[:, numbers])
    x, y = torch.from_numpy(front.x), torch.from_numpy(front.y)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    distances = (beyond_arcs(shape.arcs[:, :2], grid) / shape.width)[0].numpy()
    whole = np.full(example().photo.shape[:2], 1.0, np.float32)
    whole[front.rows, front.columns] = distances
    return whole


def apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.abs(first.astype(int) - second).max(2)


def test_paint_stays_between_the_lips() -> None:
    difference, beyond = apart(drawn(1), drawn(1, painted=False)), lips_distances(1)
    assert (difference[beyond < -0.06] > 8).mean() > 0.8
    # around the lips the decoder is what the painter replaces; it reaches a pixel or two over them
    assert (difference[beyond > 0.06] <= 1).mean() > 0.999


@pytest.mark.parametrize("grid", [(0.2, 0.0), (0.0, 0.2), (0.1, 0.1)])
def test_a_grid_that_alternates_from_pixel_to_pixel_is_not_shown(
    grid: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def painted(_self: MouthPainter, warped: torch.Tensor, *of: Any) -> Painted:
        rows, columns = of[2]
        height, width = rows.stop - rows.start, columns.stop - columns.start
        level = torch.linspace(0.3, 0.7, width).expand(len(warped), 3, height, width)
        across, down = (torch.tensor([1.0, -1.0]).repeat(count // 2) for count in (width, height))
        alternating = strength[0] * across + strength[1] * down[:, None]
        return Painted(level + alternating, torch.ones(len(warped), 1, height, width))

    monkeypatch.setattr(MouthPainter, "forward", painted)
    strength = (0.0, 0.0)
    even = drawn(1)
    strength = grid
    difference = apart(drawn(1), even)[lips_distances(1) < -0.06]
    assert np.quantile(difference, 0.99) <= 1


def test_large_mouths_are_painted_at_twice_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    enlarged = MouthPainter.enlarged

    def noted(self: MouthPainter, paint: Painted, warped: torch.Tensor, *of: Any) -> Painted:
        made = enlarged(self, paint, warped, *of)
        sizes.append((warped.shape[-1], made.colours.shape[-1] // paint.colours.shape[-1]))
        return made

    monkeypatch.setattr(MouthPainter, "enlarged", noted)
    plain, made = drawn(1), enlarging(16)
    assert not sizes  # the painter has no enlarger
    large = drawn(1, made=made)
    assert sizes == [(32, 2)]
    inside = apart(large, drawn(0))[lips_distances(1) < -0.06]
    assert inside.mean() > 8 and apart(large, plain)[lips_distances(1) > 0.06].mean() < 1
    drawn(1, made=enlarging(512))
    assert len(sizes) == 1  # its squares show all of the photo


def test_a_mouth_that_stays_shut_is_not_painted() -> None:
    assert apart(drawn(0), drawn(0, painted=False)).max() <= 1


def test_a_covered_mouth_is_looked_at_once_and_never_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[object] = []
    square_of = details._square_of

    def noted(*of: object) -> torch.Tensor:
        cut.append(of)
        return square_of(*of)  # type: ignore[arg-type]

    monkeypatch.setattr(details, "_square_of", noted)
    drawn(1)
    assert len(cut) == 2  # the source's and the frame's
    cut.clear()
    monkeypatch.setattr(details, "LEAST_CONTRAST", 1.0)
    monkeypatch.setattr(MouthPainter, "forward", None)
    drawn(1)
    assert len(cut) == 1


def test_a_mouth_opens_by_and_by() -> None:
    inside = lips_distances(1) < -0.06
    darker = [apart(drawn(share), drawn(0))[inside].mean() for share in (0, 0.3, 1)]
    assert darker[0] < darker[1] < darker[2]


def test_opencv_and_torch_paint_the_same_mouths() -> None:
    difference = apart(drawn(1), drawn(1, by_opencv=False))
    assert difference[lips_distances(1) < 0.02].mean() < 2
    assert np.quantile(difference, 0.999) <= 8


def test_mouths_of_unknown_lips_are_painted_too() -> None:
    inside = lips_distances(1) < -0.08
    assert (apart(drawn(1, outlines=False), drawn(1, painted=False))[inside] > 8).mean() > 0.8


def test_the_painter_sees_the_frame_as_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    paint = MouthPainter.forward

    def noted(made: MouthPainter, warped: torch.Tensor, shape: MouthShape, *others: object) -> object:
        seen.append((warped, shape))
        return paint(made, warped, shape, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(MouthPainter, "forward", noted)
    drawn(1)
    (warped, shape) = seen[0]
    frame, front = drawn(1, painted=False), layers().fronts[0]
    corners = drawing(1).driving[0, placing()[:2]].numpy()
    pixels = [
        (np.interp(x, front.x, np.arange(len(front.x))), np.interp(y, front.y, np.arange(len(front.y))))
        for x, y in corners
    ]
    (left, right), inside = pixels, (shape.points[0, :2].numpy() + 1) * 32 - 0.5
    matrix = cv2.estimateAffinePartial2D(np.float32([left, right]), np.float32(inside))[0]
    part = frame[front.rows, front.columns]
    expected = cv2.warpAffine(part, matrix, (64, 64), flags=cv2.INTER_AREA).astype(float) / 255
    away = np.abs(warped[0].permute(1, 2, 0).numpy() - expected)[40:].mean()  # the chin, which nobody paints
    assert away < 0.03


@cache
def eyes_drawn(opening: float, *, by_opencv: bool = True, painted: bool = True) -> np.ndarray:
    """The example as if its eyes were shut, and opened by a share of what they are."""
    known, parts = layers(), animator().renderer.model.parts
    assert parts is not None
    fronts = tuple(
        replace(front, eyes=None if front.eyes is None else np.repeat(front.eyes[:, 1:], 2, axis=1))
        for front in known.fronts
    )
    still = drawing(0)
    shut, driving = still.source.clone(), still.driving.clone()
    for eye in (0, 1):
        upper, lower = parts.eyes[3 * eye], parts.eyes[3 * eye + 1]
        shut[:, upper] = shut[:, lower]
        driving[:, upper] = driving[:, lower] + opening * (driving[:, upper] - driving[:, lower])
    middles = torch.stack([parts.lids(still.driving, eye).mean(1) for eye in (0, 1)], 1)
    width = (still.source[:, parts.eyes[2]] - still.source[:, parts.eyes[5]]).norm(dim=-1)
    nowhere, everywhere = torch.ones(2, 1, 2, 2), torch.tensor([[[-1.0, -1.0], [1.0, 1.0]]] * 2)
    gaze = Gaze(middles, middles, 0.07 * width.expand(1, 2), torch.zeros(1, 2), nowhere, everywhere)
    torch.manual_seed(0)
    painter = EyePainter(PainterConfig(size=32, channels=(12, 16, 16), tokens=4)).eval()
    compositor = PhotoCompositor(
        replace(known, fronts=fronts),
        parts,
        torch.device("cpu"),
        by_opencv=by_opencv,
        eye_painter=painter if painted else None,
        paints=painted,
    )
    return compositor.frame([replace(still, source=shut, driving=driving, gaze=gaze)])


def test_eyes_that_were_shut_are_painted_between_their_lids() -> None:
    difference = apart(eyes_drawn(1), eyes_drawn(1, painted=False))
    parts, front = animator().renderer.model.parts, layers().fronts[0]
    assert parts is not None and front.eyes is not None
    x, y = torch.from_numpy(front.x), torch.from_numpy(front.y)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    beyond = torch.stack([beyond_arcs(torch.from_numpy(lids)[None], grid)[0] for lids in front.eyes]).amin(0)
    whole = np.full(example().photo.shape[:2], 1.0, np.float32)
    whole[front.rows, front.columns] = beyond.numpy()
    assert (difference[whole < -0.015] > 3).mean() > 0.8
    upper_half = np.arange(len(whole))[:, None] < len(whole) * 0.55  # mouths have no painter here
    assert difference[(whole > 0.02) & upper_half].max() <= 1


def test_eyes_that_stay_shut_are_not_painted() -> None:
    assert np.array_equal(eyes_drawn(0), eyes_drawn(0, painted=False))


def test_both_ways_to_draw_paint_the_same_eyes() -> None:
    assert np.abs(eyes_drawn(1).astype(int) - eyes_drawn(1, by_opencv=False)).mean() < 0.3
