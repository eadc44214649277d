"""What comes into view when a head moves: its background, and what the crop has cut off of the photo."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from animation_tools import write_tiny
from face_tools import portrait, portrait_face
from places import SHIPPED

from mcnet_cli.animation.renderer import EncodedSource, Renderer
from mcnet_cli.animation.source import EncodedFace, SourceFace, encode
from mcnet_cli.checkpoint import read_weights
from mcnet_cli.devices import choose
from mcnet_cli.face import CropBox, Framing, crop_box

LITE = SHIPPED / "mcnet-lite.safetensors"
BOX = CropBox(100, 150, 256, 256)
BY_PX = 24
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


def moved_right(engine: Renderer, source: EncodedSource) -> np.ndarray:
    """(H, W, 3) in [0, 1], of all keypoints moved right by `BY_PX`."""
    shift = torch.tensor([2 * BY_PX / (engine.size - 1), 0.0])
    return engine.render(source, source.keypoints.map(lambda points: points + shift))[0] / 255.0


def test_the_example_moves_as_a_whole_and_leaves_nothing_behind(engine: Renderer) -> None:
    points = portrait_face().points
    (face,) = encode(portrait(), [SourceFace(crop_box(points, Framing()), points)], engine).faces
    layers = face.source.layers
    backdrop = layers.backdrop
    assert backdrop is not None
    size = (engine.size, engine.size)
    foreground = F.interpolate(backdrop.foreground, size, mode="bilinear", align_corners=True)[0, 0].numpy()
    there = np.roll(foreground, BY_PX, 1)
    there[:, :BY_PX] = foreground[:, :1]
    made, without = (
        moved_right(engine, replace(face.source, layers=given))
        for given in (layers, replace(layers, backdrop=None))
    )
    picture = backdrop.picture[0].permute(1, 2, 0).numpy()
    shifted = np.roll(face.picture, BY_PX, 1) / 255.0
    uncovered, whole = (foreground > 0.8) & (there < 0.05), there > 0.4
    assert uncovered.sum() > 400 and whole.sum() > 20000
    assert np.abs(made - picture)[uncovered].max() < 0.02
    assert np.abs(without - picture)[uncovered].max() > 0.2  # hair once more
    assert np.abs(made - shifted)[whole].mean() < 0.02 < np.abs(without - shifted)[whole].mean()
    assert np.abs(made - shifted)[230:, 90:180].mean() < 0.01  # the chest, of which the network is less sure
