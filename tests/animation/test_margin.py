"""What a crop cuts off of a photo comes into view when the head moves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from animation_tools import write_tiny
from face_tools import portrait_face
from places import SHIPPED

from mcnet_cli.animation.renderer import Renderer
from mcnet_cli.animation.source import EncodedFace, SourceFace, encode
from mcnet_cli.checkpoint import read_weights
from mcnet_cli.devices import choose
from mcnet_cli.face import CropBox, Framing, crop_box

LITE = SHIPPED / "mcnet-lite.safetensors"
BOX = CropBox(100, 150, 256, 256)
SINKS = torch.tensor([0.0, 0.2])  # by a tenth of the picture, 26 pixels


@pytest.fixture(scope="module")
def engine() -> Renderer:
    return Renderer(read_weights(LITE), choose("cpu", "fp32"))


def encoded(engine: Renderer, photo: np.ndarray, box: CropBox | None) -> EncodedFace:
    face = SourceFace(box, None if box is None else face_in(box))
    return encode(photo, [face], engine).faces[0]


def face_in(box: CropBox) -> np.ndarray:
    """(468, 2) landmarks of a face whose crop would be `box`."""
    points = portrait_face().points
    seen = crop_box(points, Framing())
    return ((points - (seen.x, seen.y)) * (box.width / seen.width) + (box.x, box.y)).astype(np.float32)


def sunk(engine: Renderer, face: EncodedFace) -> np.ndarray:
    """(H, W, 3) the face's picture when all its keypoints have moved down."""
    return engine.render(face.source, face.source.keypoints.map(lambda points: points + SINKS))[0]


def is_red(picture: np.ndarray) -> np.ndarray:
    """(H, W) of (H, W, 3)."""
    return (picture[..., 0] > 190) & (picture[..., 1] < 60)


def a_photo() -> np.ndarray:
    """(500, 500, 3) grey, red above `BOX`."""
    photo = np.full((500, 500, 3), 128, np.uint8)
    photo[: int(BOX.y)] = 220, 20, 20
    return photo


def test_above_a_head_that_sinks_is_what_the_photo_shows_there(engine: Renderer) -> None:
    face = encoded(engine, a_photo(), BOX)
    assert not is_red(face.picture).any()  # the network sees none
    red = is_red(sunk(engine, face))
    assert red[:12].mean() > 0.05
    assert not red[60:].any()
    inner = replace(face.source.layers, picture=face.source.state.image, margin=0)
    without = replace(face, source=replace(face.source, layers=inner))
    assert not is_red(sunk(engine, without)).any()


def test_at_the_photos_own_edge_the_border_is_repeated(engine: Renderer) -> None:
    photo = a_photo()[int(BOX.y) - 12 :]
    photo[12:] = 128
    face = encoded(engine, photo, CropBox(BOX.x, 0, 256, 256))
    red = is_red(sunk(engine, face))
    assert red[:12].mean() > 0.05  # as far as the photo's red reaches, and above it
    whole = encoded(engine, a_photo(), None)
    assert whole.source.layers.margin == 0
    assert whole.source.layers.picture.shape[-1] == engine.size


def test_the_papers_network_sees_nothing_beyond_its_square(tmp_path: Path) -> None:
    papers = Renderer(read_weights(write_tiny(tmp_path / "w.safetensors", size=256)), choose("cpu", "fp32"))
    assert papers.margin == 0
    assert encoded(papers, a_photo(), BOX).source.layers.picture.shape[-1] == 256
