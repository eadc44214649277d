"""What a video file says about itself. Only ffmpeg is needed for it, not ffprobe."""

import re
import subprocess
import threading
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median

from mcnet_cli.errors import InputError, counted, shown
from mcnet_cli.media.ffmpeg import SOUND_DEMUXERS, compiled, open_input
from mcnet_cli.media.frames import MAX_FRAME_PIXELS, require_local_file
from mcnet_cli.media.kinds import described, is_video, read_head
from mcnet_cli.media.process import Log, running
from mcnet_cli.media.video_colours import Colours, colours_in

_HEAD = re.compile(
    r"^#tb 0: (\d+)/(\d+).*?^#dimensions 0: (\d+)x(\d+)\n#sar 0: (\d+)/(\d+).*?^0,", re.M | re.S
)
_DURATION = re.compile(r"^\[info\]\s+Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.M)
_AUDIO = re.compile(r"^\[info\]\s+Stream #0.*?: Audio: (.*)$", re.M)
_FORMAT = re.compile(r"^\[info\] Input #0, (.+?), from ", re.M)
_SIZE = re.compile(r"^\[info\]\s+Stream #0.*?: Video: .*? (\d{2,})x(\d{2,})", re.M)
_AVERAGE_RATE = re.compile(r"^\[info\]\s+Stream #0.*?: Video: .*?, (\d+(?:\.\d+)?) fps", re.M)
_PACKET = re.compile(r"^0,\s*-?\d+,\s*(-?\d+),", re.M)
_TIME_BASE = re.compile(r"^#tb 0: (\d+)/(\d+)", re.M)
_MAX_RATE = 1000  # frames per second
# Recordings of browsers and phones give each frame a time of its own, and ffmpeg may take the rate of their
# clock for that of frames. Above this rate, or factor over the average, the times of frames are looked at.
_DOUBTFUL_RATE = 120
_DOUBTFUL_FACTOR = Fraction(3, 2)
_MEASURED_PACKETS = 600
_USUAL_RATES = tuple(map(Fraction, (5, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)))
_DEFAULT_RATE = Fraction(25)
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"pnot"}
_TIME_LIMIT_S = 120.0
_MIN_BYTES_PER_S = 100  # a header that claims a longer film for the size of its file is wrong


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A video as it is to be shown: upright, with square pixels.

    is_square: whether frames are stored in square pixels. frame_rate: exact; a variable rate is converted to
    it. duration_s: what the header claims; None if it claims nothing, or more than the file's bytes could
    hold (then `duration_lies`). format_name: ffmpeg's demuxer. colours: how frames are stored. audio_track:
    the number, from 0, of the sound track that players take, which need not be the first; None without sound
    that ffmpeg knows.
    """

    path: Path
    width: int
    height: int
    is_square: bool
    frame_rate: Fraction
    duration_s: float | None
    audio_track: int | None
    audio_track_count: int
    format_name: str
    duration_lies: bool
    colours: Colours


def probe(path: Path) -> VideoInfo:
    """Reads a video's header and its first frame.

    Raises:
        InputError: it is no regular file, no video, a playlist, has frames over 64 megapixels, or none.
        SystemFailure: ffmpeg can't be run.
    """
    size_bytes = require_local_file(path).st_size
    first = open_input(path)["V:0"].filter("fps", fps="source_fps")
    with running(
        compiled(first.output("pipe:", format="framecrc", vframes=1)), stdout=subprocess.PIPE
    ) as child:
        head = bytearray(4096)
        took_too_long = threading.Event()

        def give_up() -> None:
            took_too_long.set()
            child.process.kill()

        time_limit = threading.Timer(_TIME_LIMIT_S, give_up)
        time_limit.daemon = True
        time_limit.start()
        try:
            got = child.read_exactly(memoryview(head))
            child.finish()
            if took_too_long.is_set():
                raise InputError(f"{shown(path)} takes too long to open", hint="it may be damaged")
        finally:
            time_limit.cancel()
        log = child.log
    said = "\n".join(log.lines).split("\n[info] Output #")[0]
    _check_size(path, said)
    found = _HEAD.search(head[:got].decode("ascii", "replace"))
    if not found:
        raise _refusal(path, log, said)
    ticks, per_second, width, height, wide, high = map(int, found.groups())
    rate = Fraction(per_second, ticks) if ticks and per_second else _DEFAULT_RATE
    average = _AVERAGE_RATE.search(said)
    if rate > (_DOUBTFUL_RATE if average is None else Fraction(average[1]) * _DOUBTFUL_FACTOR):
        measured = _measured_rate(path)
        rate = measured if measured and rate > measured * _DOUBTFUL_FACTOR else rate
    claimed = _claimed_duration(said)
    lies = claimed is not None and size_bytes < claimed * _MIN_BYTES_PER_S and claimed > 3600
    name_match, tracks = _FORMAT.search(said), _AUDIO.findall(said)
    stored = width, height
    width, height = _square_pixels(width, height, Fraction(wide, high) if wide and high else Fraction(1))
    if width * height > MAX_FRAME_PIXELS:
        raise _too_large(path, width, height)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        is_square=(width, height) == stored,
        frame_rate=rate if rate <= _MAX_RATE else _DEFAULT_RATE,
        duration_s=None if lies else claimed,
        audio_track=_usual_track(tracks),
        audio_track_count=len(tracks),
        format_name=name_match[1] if name_match else "",
        duration_lies=lies,
        colours=colours_in(said),
    )


def probe_sound(path: Path, track: int | None = None) -> int:
    """The number of the sound track `track`, or by default of the one that players take.

    path: a sound file, or a video with sound. InputError if that has no such track, or it can't be decoded.
    """
    require_local_file(path)
    listing = open_input(path, demuxers=SOUND_DEMUXERS).output(
        "pipe:", format="null", map="0:a?", codec="copy", t=0
    )
    with running(compiled(listing)) as child:
        child.finish()
        log = child.log
    tracks = _AUDIO.findall("\n".join(log.lines).split("\n[info] Output #")[0])
    usual = _usual_track(tracks)
    if usual is None:
        raise InputError(
            f"{shown(path)} has no sound that can be read",
            hint="take a sound file such as .wav, .mp3, .m4a or .flac, or a video with sound",
        )
    if track is not None and track >= len(tracks):
        raise no_such_track(path, track, len(tracks))
    chosen = usual if track is None else track
    heard = open_input(path, demuxers=SOUND_DEMUXERS)[f"a:{chosen}"]
    with running(compiled(heard.output("pipe:", format="null", **{"frames:a": 1}))) as child:
        if child.finish():
            raise InputError(f"the sound of {shown(path)} can't be decoded: {child.log.reason}")
    return chosen


def no_such_track(path: Path, wanted: int, count: int) -> InputError:
    """The error for a number of a sound track that a file hasn't got."""
    tracks = counted(count, "sound track") if count else "no sound"
    return InputError(f"{shown(path)} has {tracks}, and no track {wanted}", hint="tracks count from 0")


def _usual_track(tracks: list[str]) -> int | None:
    """The first sound track that is flagged as the default one, else the first that can be decoded."""
    known = [number for number, track in enumerate(tracks) if not track.startswith("none")]
    return next((number for number in known if "(default)" in tracks[number]), known[0] if known else None)


def _square_pixels(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """The size with square pixels. One side grows and none shrinks, so that no detail is lost."""
    if not Fraction(1, 8) <= aspect <= 8:
        return width, height
    if aspect >= 1:
        return max(1, round(width * aspect)), height
    return width, max(1, round(height / aspect))


def _measured_rate(path: Path) -> Fraction | None:
    """The rate by the time that most often lies between two frames; None if there is no telling."""
    copied = open_input(path).output(
        "pipe:", format="framecrc", map="0:V:0", codec="copy", **{"frames:v": _MEASURED_PACKETS}
    )
    with running(compiled(copied), stdout=subprocess.PIPE) as child:
        assert child.process.stdout
        said = child.process.stdout.read().decode("ascii", "replace")
        child.finish()
    base = _TIME_BASE.search(said)
    times = sorted({int(time) for time in _PACKET.findall(said)})
    if base is None or len(times) < 3:
        return None
    between = median(later - earlier for earlier, later in pairwise(times))
    rate = Fraction(int(base[2])) / (Fraction(between) * int(base[1]))
    nearest = min(_USUAL_RATES, key=lambda usual: abs(usual / rate - 1))
    return nearest if abs(nearest / rate - 1) < 0.05 else Fraction(max(1, round(rate)))


def _claimed_duration(said: str) -> float | None:
    found = _DURATION.search(said)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


def _check_size(path: Path, said: str) -> None:
    found = _SIZE.search(said)
    if found and int(found[1]) * int(found[2]) > MAX_FRAME_PIXELS:
        raise _too_large(path, int(found[1]), int(found[2]))


def _too_large(path: Path, width: int, height: int) -> InputError:
    limit = MAX_FRAME_PIXELS >> 20
    return InputError(f"the frames of {shown(path)} are too large: {width}x{height}, over {limit} megapixels")


def _refusal(path: Path, log: Log, said: str) -> InputError:
    """Why no frame came, in words that a user understands."""
    text = log.text
    found = described(read_head(path))
    if found and not is_video(path):
        what, hint = found
        return InputError(f"{shown(path)} is not a video but {what}", hint=hint)
    if "whitelist" in text or "m3u8" in text:
        return InputError(
            f"{shown(path)} is not a video but a playlist, or a kind of file that is refused",
            hint="a playlist could open other files; give the video itself",
        )
    if "moov atom not found" in text and _looks_like_mp4(path):
        return InputError(
            f"{shown(path)} is incomplete: its index (moov) is missing", hint="copy or record it again"
        )
    if not _FORMAT.search(said):
        return InputError(f"{shown(path)} is not a video that can be read: {log.reason}")
    if "matches no streams" in text:
        return InputError(
            f"{shown(path)} has no video stream",
            hint="it holds sound alone, and faces are moved by what is seen",
        )
    if "max_pixels" in text or "Picture size" in text or "nvalid size" in text or "imensions" in text:
        return InputError(f"{shown(path)} is damaged, or its frames are too large: {log.reason}")
    reason = f": {log.reason}" if log.errors else ""
    return InputError(f"{shown(path)} has no frames that can be decoded{reason}")


def _looks_like_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] in _MP4_BOXES
