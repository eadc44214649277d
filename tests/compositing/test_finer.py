"""What is finer than the network's cells: rows around eyes stay in order, whatever the motion does."""

import cv2
import numpy as np
import pytest
import torch
from face_tools import animator, example
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli import Portrait
from mcnet_cli.compositing import Drawing, PhotoCompositor, photo_layers
from mcnet_cli.model.geometry import coordinate_grid

CELLS = 64


SLOPE = 9  # by how much a photo gets brighter from row to row


def brightening(y: float) -> NDArray[np.uint8]:
    """A photo as large as the example that gets brighter from row to row around row y."""
    height, width = example().photo.shape[:2]
    bright = np.clip(127 + SLOPE * (np.arange(height) - y), 0, 255)
    return np.broadcast_to(bright[:, None, None], (height, width, 3)).astype(np.uint8).copy()


def frame_of(
    photo: NDArray[np.uint8], field: Tensor, source: Tensor, driving: Tensor, portrait: Portrait | None = None
) -> NDArray[np.uint8]:
    """The photo in a portrait's place, moved by a (1, 64, 64, 2) field; keypoints are (1, K, 2)."""
    parts = animator().renderer.model.parts
    assert parts is not None
    drawing = Drawing(
        person=field,
        whole=field,
        occlusion=torch.ones(1, 1, CELLS, CELLS),
        source=source,
        driving=driving,
        paint=lambda _, window: torch.zeros(1, 3, 256, 256)[:, :, *window],
    )
    layers = photo_layers(photo, (portrait or example()).people, 256)
    return PhotoCompositor(layers, parts, torch.device("cpu"), by_opencv=True, paints=False).frame([drawing])


def in_photo(place: Tensor, portrait: Portrait | None = None) -> tuple[float, float]:
    """Column and row of a portrait's photo at a place (2,) of its square."""
    (square,) = (portrait or example()).shown_boxes
    x, y = place.tolist()
    return square.x + (x + 1) / 2 * square.width, square.y + (y + 1) / 2 * square.height


@pytest.mark.parametrize("eye", [0, 1])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_motion_that_folds_beside_a_lid_shows_nothing_twice(eye: int, side: int) -> None:
    parts, face = animator().renderer.model.parts, example().faces[0]
    assert parts is not None
    source = face.source.keypoints.values
    lid = parts.lids(source, eye)[0, 0 if side < 0 else 1]
    (square,) = example().shown_boxes
    x, y = in_photo(lid)
    still = coordinate_grid(CELLS, CELLS, source)[None]
    away = (still - lid - torch.tensor([0, 0.06 * side])) / torch.tensor([0.12, 0.04])
    folded = still.clone()
    folded[..., 1] -= side * 0.3 * torch.exp(-away.square().sum(-1))
    reach = 0.13 * square.height / 2
    rows = slice(round(y - reach), round(y)) if side < 0 else slice(round(y), round(y + reach))
    column = frame_of(brightening(y), folded, source, source)[rows, round(x), 0].astype(int)
    assert np.diff(column).min() > 0


@pytest.mark.parametrize("eye", [0, 1])
def test_a_brow_that_rises_stretches_all_skin_below_it_alike(eye: int) -> None:
    parts, source = animator().renderer.model.parts, example().faces[0].source.keypoints.values
    assert parts is not None
    upper = parts.lids(source, eye)[0, 0]
    number = min(parts.brows, key=lambda brow: float((source[0, brow] - upper).norm()))
    brow, driving = source[0, number], source.clone()
    rise = float(upper[1] - brow[1])
    driving[:, [*parts.brows], 1] -= rise
    field = coordinate_grid(CELLS, CELLS, source)[None].clone()
    middle = (upper[1] + brow[1] - rise) / 2
    # the network's motion stretches a strip between lid and brow alone
    field[..., 1] += rise * torch.sigmoid((middle - field[..., 1]) / 0.01)
    (x, y), (_, top) = in_photo(upper), in_photo(brow - torch.tensor([0, rise]))
    column = frame_of(brightening(y - (y - top) / 2), field, source, driving)[:, round(x), 0].astype(int)
    steps = np.diff(column[round(top + 0.2 * (y - top)) : round(y)])
    assert steps.min() > 0.7 * steps.mean()


@pytest.mark.parametrize("eye", [0, 1])
def test_no_slit_of_an_eye_is_seen_between_lids_that_shut(eye: int) -> None:
    photo = example().photo[..., :3]
    large = animator().portrait(cv2.resize(photo, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC))
    parts, source = animator().renderer.model.parts, large.faces[0].source.keypoints.values
    assert parts is not None
    upper, lower = parts.lids(source, eye)[0]
    (x, top), (_, bottom) = in_photo(upper, large), in_photo(lower, large)
    photo = np.full_like(large.photo[..., :3], 40)
    photo[round(top) + 1 : round(bottom), round(x) - 20 : round(x) + 21] = 240  # what lids should cover
    driving = source.clone()
    driving[:, [*parts.eyes[3 * eye : 3 * eye + 2]]] = (upper + lower) / 2
    still = coordinate_grid(CELLS, CELLS, source)[None]

    def bright(keypoints: Tensor) -> int:
        frame = frame_of(photo, still, source, keypoints, large)
        return int((frame[:, round(x) - 4 : round(x) + 5, 0] > 140).sum())

    assert bright(driving) < 0.2 * bright(source)
