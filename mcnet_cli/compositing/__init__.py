"""How frames are put together from what the network says: squares of its own size, and photos of any."""

from mcnet_cli.compositing.compose import Composition, Compositor, Drawing, SourceLayers
from mcnet_cli.compositing.front import Person, Square
from mcnet_cli.compositing.gaze import Gaze
from mcnet_cli.compositing.layers import PhotoLayers, photo_layers
from mcnet_cli.compositing.photo import PhotoCompositor

__all__ = [
    "Composition",
    "Compositor",
    "Drawing",
    "Gaze",
    "Person",
    "PhotoCompositor",
    "PhotoLayers",
    "SourceLayers",
    "Square",
    "photo_layers",
]
