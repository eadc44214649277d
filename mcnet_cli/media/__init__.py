"""Reading and writing videos and pictures frame by frame, with ffmpeg and Pillow."""

from mcnet_cli.media.codecs import CODECS, DEFAULT_QUALITY, QUALITIES, Codec, Coding, Quality, choose_coding
from mcnet_cli.media.decode import decoded_rate, is_picture, open_arrays, open_frames, read_still
from mcnet_cli.media.ffmpeg import ffmpeg_binary, ffmpeg_version
from mcnet_cli.media.frames import FrameSink, FrameSource, SoundTrack, Span
from mcnet_cli.media.hardware import HWACCELS, Hwaccel
from mcnet_cli.media.output import open_output, output_kind
from mcnet_cli.media.pictures import as_photo, as_picture, encode_picture, read_image, read_photo, write_image
from mcnet_cli.media.probe import probe, probe_sound

__all__ = [
    "CODECS",
    "DEFAULT_QUALITY",
    "HWACCELS",
    "QUALITIES",
    "Codec",
    "Coding",
    "FrameSink",
    "FrameSource",
    "Hwaccel",
    "Quality",
    "SoundTrack",
    "Span",
    "as_photo",
    "as_picture",
    "choose_coding",
    "decoded_rate",
    "encode_picture",
    "ffmpeg_binary",
    "ffmpeg_version",
    "is_picture",
    "open_arrays",
    "open_frames",
    "open_output",
    "output_kind",
    "probe",
    "probe_sound",
    "read_image",
    "read_photo",
    "read_still",
    "write_image",
]
