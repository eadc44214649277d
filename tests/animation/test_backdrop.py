"""A head that moves is whole, and leaves its background behind."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from face_tools import portrait, portrait_face
from places import SHIPPED

from mcnet_cli.animation.renderer import EncodedSource, Renderer
from mcnet_cli.animation.source import SourceFace, encode
from mcnet_cli.checkpoint import read_weights
from mcnet_cli.devices import choose
from mcnet_cli.face import Framing, crop_box

LITE = SHIPPED / "mcnet-lite.safetensors"
BY_PX = 24


def moved(engine: Renderer, source: EncodedSource) -> np.ndarray:
    """(H, W, 3) in [0, 1], of all keypoints moved right by `BY_PX`."""
    shift = torch.tensor([2 * BY_PX / (engine.size - 1), 0.0])
    return engine.render(source, source.keypoints.map(lambda points: points + shift))[0] / 255.0


def test_the_example_moves_as_a_whole_and_leaves_nothing_behind() -> None:
    engine, points = Renderer(read_weights(LITE), choose("cpu", "fp32")), portrait_face().points
    (face,) = encode(portrait(), [SourceFace(crop_box(points, Framing()), points)], engine).faces
    layers = face.source.layers
    backdrop = layers.backdrop
    assert backdrop is not None
    size = (engine.size, engine.size)
    foreground = F.interpolate(backdrop.foreground, size, mode="bilinear", align_corners=True)[0, 0].numpy()
    there = np.roll(foreground, BY_PX, 1)
    there[:, :BY_PX] = foreground[:, :1]
    made, without = (
        moved(engine, replace(face.source, layers=given))
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
