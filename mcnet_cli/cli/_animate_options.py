"""Options that only `mcnet animate` has: what is cropped, what is shown, and what a film is made of."""

from pathlib import Path
from typing import Annotated

from mcnet_cli.cli._options import panel

framing_option, picture_option, film_option = panel("Framing"), panel("Picture"), panel("Film")
CROP = "auto|none|X,Y,W,H"

SourceCrop = Annotated[
    str,
    framing_option(
        "--source-crop",
        metavar=CROP,
        help="What the network sees of the source. auto: the face. none: all of it. Or a box in pixels.",
    ),
]
DrivingCrop = Annotated[
    str,
    framing_option(
        "--driving-crop",
        metavar=CROP,
        help="The same for the driving, one box a clip. With both none no face is looked for.",
    ),
]
SourceFrame = Annotated[
    str | None,
    framing_option(
        "--source-frame",
        metavar="TIME",
        help="Take the frame of a video at this time as the source; seconds or H:MM:SS.",
    ),
]
Face = Annotated[
    list[str] | None,
    framing_option(
        "--face",
        metavar="largest|all|N|N=DRIVING,...",
        help="Which face of the source: the largest, N from 0, left to right, or all. Or faces with "
        "drivings of their own, such as --face 0=a.mp4,1=b.mp4: the film has the rate of the first and "
        "lasts as long as the longest, others hold their last pose, and their sounds are mixed (--audio "
        "FILE chooses one).",
        show_default=False,
    ),
]
DrivingFace = Annotated[
    str,
    framing_option(
        "--driving-face",
        metavar="largest|first|N",
        help="Whom the motion is taken from. largest: the largest face, and after a cut whoever is "
        "there. first: the same, but another person after a cut is no face. N: from 0, left to right.",
    ),
]
CropJson = Annotated[
    Path | None,
    framing_option(
        "--crop-json",
        metavar="FILE",
        help="Save the crops to a file if it doesn't exist, else use the (edited) crops in it.",
    ),
]
OnNoFace = Annotated[
    str,
    framing_option(
        "--on-no-face",
        metavar="hold|skip|source|fail",
        help="Driving frames without a face. hold: the last pose goes over into the next one; in gaps of "
        "more than a second it stays until then. source: the source unmoved. "
        "fail: stop. skip: leave them out; skipped at the start or end they take their sound along, "
        "in between the result has no sound, because it would run ahead of the picture.",
    ),
]
PictureKind = Annotated[
    str,
    picture_option(
        "--picture",
        metavar="photo|face|network",
        help="photo: the whole photo, at its own size. face: the square around the face, at the photo's "
        "size. network: the square as the network makes it.",
    ),
]
Background = Annotated[
    str,
    picture_option(
        "--background",
        metavar="still|moving|transparent|COLOUR|FILE",
        help="still: the photo's own stands still. moving: it bends along, as the network has it. "
        "transparent: none (.webm, .mov, .webp and .png patterns). Or a colour, or another picture.",
    ),
]
Compare = Annotated[bool, picture_option("--compare", help="Source, driving and result side by side.")]
Size = Annotated[
    int | None,
    picture_option(
        "--size",
        metavar="PIXELS",
        help="Bounds the longer side of a photo (default 1920; gif 480, webp 720), and sets the side of "
        "--picture face and network (default: the photo's own size, and the network's).",
    ),
]
Audio = Annotated[
    Path | None,
    film_option(
        "--audio",
        metavar="FILE",
        help="Sound in place of the driving's, from any file that has some: --audio song.mp3. It begins with "
        "the film and is cut at its end.",
    ),
]
NoAudio = Annotated[bool, film_option("--no-audio", help="No sound.")]
AudioTrack = Annotated[
    int | None,
    film_option(
        "--audio-track",
        metavar="N",
        help="Which sound track of the driving, or of --audio; N from 0. Default: the one that players take.",
    ),
]
Volume = Annotated[
    str,
    film_option(
        "--volume",
        metavar="FACTOR|dB",
        help="Make the sound quieter or louder: 0.5, 2, -6dB; at most 10, +20dB. What would clip is limited.",
    ),
]
FilmCodec = Annotated[
    str | None,
    film_option(
        "--codec",
        metavar="h264|h265|av1|vp9|prores|lossless",
        help="How frames are stored, where the kind of file and ffmpeg allow it. lossless: bit for bit. "
        "Default: h264; vp9 in .webm; prores in .mov if the background is transparent.",
        show_default=False,
    ),
]
FilmQuality = Annotated[
    str,
    film_option(
        "--quality",
        metavar="draft|good|high|best",
        help="From small files to little loss, of videos and .webp: --quality draft for a try.",
    ),
]
Hwaccel = Annotated[
    str,
    film_option(
        "--hwaccel",
        metavar="none|auto|cuda|videotoolbox|qsv|vaapi",
        help="What decodes the driving and encodes h264, h265 and av1. none: the processor. auto: a GPU, if "
        "ffmpeg can use one (mcnet doctor says so). Or one by its kind. Quality and size depend on it then.",
    ),
]
Metadata = Annotated[
    bool,
    film_option(
        "--metadata/--no-metadata",
        help="Say in the result that mcnet made it, which version, and with which weights.",
    ),
]
