"""Videos and pictures in and out, streaming, through ffmpeg and Pillow."""

from mcnet_cli.media.codecs import ffmpeg_version
from mcnet_cli.media.frames import FrameSource, Span
from mcnet_cli.media.image import as_photo, as_picture, encode_png, read_image, read_photo, write_image
from mcnet_cli.media.output import open_output, output_kind, require_transparency
from mcnet_cli.media.probe import VideoInfo, probe
from mcnet_cli.media.process import ffmpeg_binary
from mcnet_cli.media.sink import FrameSink
from mcnet_cli.media.source import is_picture, open_arrays, open_frames

__all__ = [
    "FrameSink",
    "FrameSource",
    "Span",
    "VideoInfo",
    "as_photo",
    "as_picture",
    "encode_png",
    "ffmpeg_binary",
    "ffmpeg_version",
    "is_picture",
    "open_arrays",
    "open_frames",
    "open_output",
    "output_kind",
    "probe",
    "read_image",
    "read_photo",
    "require_transparency",
    "write_image",
]
