"""How a frame is put together from what the network says, by rules without parameters."""

from mcnet_cli.compositing.compose import Composition, Compositor, SourceLayers

__all__ = ["Composition", "Compositor", "SourceLayers"]
