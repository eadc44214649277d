"""Live: portraits that move with a camera, in a window, a film or a virtual camera."""

from mcnet_cli.live.request import LiveReport, LiveRequest
from mcnet_cli.live.session import live

__all__ = ["LiveReport", "LiveRequest", "live"]
