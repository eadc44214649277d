"""What is finer than the network's cells: rows around eyes stay in order, whatever the motion does."""

import numpy as np
import pytest
import torch
from face_tools import animator, example

from mcnet_cli.compositing import Drawing, PhotoCompositor, photo_layers
from mcnet_cli.model.geometry import coordinate_grid

CELLS = 64


@pytest.mark.parametrize("eye", [0, 1])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_motion_that_folds_beside_a_lid_shows_nothing_twice(eye: int, side: int) -> None:
    parts, face = animator().renderer.model.parts, example().faces[0]
    assert parts is not None
    source = face.source.keypoints.values
    lid = parts.lids(source, eye)[0, 0 if side < 0 else 1]
    (square,) = example().shown_boxes
    x = square.x + (float(lid[0]) + 1) / 2 * square.width
    y = square.y + (float(lid[1]) + 1) / 2 * square.height
    # a photo that gets brighter from row to row around the eye
    height, width = example().photo.shape[:2]
    bright = np.clip(127 + 9 * (np.arange(height) - y), 0, 255)
    photo = np.broadcast_to(bright[:, None, None], (height, width, 3)).astype(np.uint8).copy()
    still = coordinate_grid(CELLS, CELLS, source)[None]
    away = (still - lid - torch.tensor([0, 0.06 * side])) / torch.tensor([0.12, 0.04])
    folded = still.clone()
    folded[..., 1] -= side * 0.3 * torch.exp(-away.square().sum(-1))
    drawing = Drawing(
        person=folded,
        whole=folded,
        occlusion=torch.ones(1, 1, CELLS, CELLS),
        source=source,
        driving=source,
        paint=lambda _, window: torch.zeros(1, 3, 256, 256)[:, :, *window],
    )
    layers = photo_layers(photo, example().people, 256)
    compositor = PhotoCompositor(layers, parts, torch.device("cpu"), by_opencv=True, paints=False)
    reach = 0.13 * square.height / 2
    rows = slice(round(y - reach), round(y)) if side < 0 else slice(round(y), round(y + reach))
    column = compositor.frame([drawing])[rows, round(x), 0].astype(int)
    assert np.diff(column).min() > 0
