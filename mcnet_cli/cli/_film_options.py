"""Options that say what a film is made of: its sound, its codec and what it says of itself."""

from pathlib import Path
from typing import Annotated

from mcnet_cli.cli._options import panel

_film_option = panel("Film")

Audio = Annotated[
    Path | None,
    _film_option(
        "--audio",
        metavar="FILE",
        help="Sound in place of the driving's, from any file that has some: --audio song.mp3. It begins with "
        "the film and is cut at its end.",
    ),
]
NoAudio = Annotated[bool, _film_option("--no-audio", help="No sound.")]
AudioTrack = Annotated[
    int | None,
    _film_option(
        "--audio-track",
        metavar="N",
        help="Which sound track of the driving, or of --audio; N from 0. Default: the one that players take.",
    ),
]
Volume = Annotated[
    str,
    _film_option(
        "--volume",
        metavar="FACTOR|dB",
        help="Make the sound quieter or louder: 0.5, 2, -6dB; at most 10, +20dB. What would clip is limited.",
    ),
]
FilmCodec = Annotated[
    str | None,
    _film_option(
        "--codec",
        metavar="h264|h265|av1|vp9|prores|lossless",
        help="How frames are stored, where the kind of file and ffmpeg allow it. lossless: bit for bit. "
        "Default: h264; vp9 in .webm; prores in .mov if the background is transparent.",
        show_default=False,
    ),
]
FilmQuality = Annotated[
    str,
    _film_option(
        "--quality",
        metavar="draft|good|high|best",
        help="From small files to little loss, of videos and .webp: --quality draft for a try.",
    ),
]
Hwaccel = Annotated[
    str,
    _film_option(
        "--hwaccel",
        metavar="none|auto|cuda|videotoolbox|qsv|vaapi",
        help="What decodes the driving and encodes h264, h265 and av1. none: the processor. auto: a GPU, if "
        "ffmpeg can use one (mcnet doctor says so). Or one by its kind. Quality and size depend on it then.",
    ),
]
Metadata = Annotated[
    bool,
    _film_option(
        "--metadata/--no-metadata",
        help="Say in the result that mcnet made it, which version, and with which weights.",
    ),
]
