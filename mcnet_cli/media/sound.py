"""Adding sound, of the driving or of another file, to a finished film, cut to its length."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from mcnet_cli.errors import InputError, counted, shown
from mcnet_cli.media.ffmpeg import (
    SOUND_DEMUXERS,
    compiled,
    disk_failure,
    file_name,
    open_input,
    require_encoder,
)
from mcnet_cli.media.frames import SoundTrack
from mcnet_cli.media.process import running
from mcnet_cli.system import SetAside, set_aside

_AAC = {"acodec": "aac", "audio_bitrate": "160k"}
_OPUS = {"acodec": "libopus", "audio_bitrate": "128k"}  # Matroska can't say where AAC's padding begins
_LOUDEST = 0.95  # of full scale, which lossy coding exceeds a little
_LOOK_AHEAD_MS = 5  # by which the limiter delays the sound
_CODECS = {"mp4": _AAC, "mov": _AAC, "matroska": _OPUS, "webm": _OPUS}


@dataclass(frozen=True, slots=True)
class Sound:
    """Tracks that are heard together, each as loud as it is; with `strict` damage to one is an error.

    volume: a factor. Above 1, and of several tracks, a limiter lowers the loudest moments, so that nothing
    clips.
    """

    tracks: tuple[SoundTrack, ...]
    strict: bool = False
    volume: float = 1.0

    @property
    def name(self) -> str:
        """What messages call it."""
        return "the sound of " + " and ".join(shown(track.path) for track in self.tracks)


def add_sound(
    part: Path, sound: Sound, duration_s: Fraction, container: str, target: Path, tags: Mapping[str, str]
) -> list[str]:
    """Replaces the silent film `part` by one with sound that lasts exactly `duration_s`; returns warnings.

    If the sound can't be decoded the film stays silent, with a warning, or InputError if the sound is strict.
    tags: options of ffmpeg that describe the film.
    """
    require_encoder(_CODECS[container]["acodec"], target)
    with set_aside(part) as silent:
        complaint = _mux(silent, part, sound, duration_s, container, target, tags)
        if complaint and sound.strict:
            raise InputError(complaint, hint="without --strict the film is made as far as its sound goes")
        if not part.exists():
            silent.copy_to(part)
    return [complaint] if complaint else []


def _mux(
    silent: SetAside,
    part: Path,
    sound: Sound,
    duration_s: Fraction,
    container: str,
    target: Path,
    tags: Mapping[str, str],
) -> str | None:
    """Writes `part` with sound. Returns what is wrong with the sound; leaves no file if there is none."""
    # a track that is there twice is heard once
    tracks = [_opened(track) for track in dict.fromkeys(sound.tracks)]
    heard = tracks[0] if len(tracks) == 1 else ffmpeg.filter(tracks, "amix", inputs=len(tracks), normalize=0)
    if sound.volume != 1:
        heard = heard.filter("volume", f"{sound.volume:.6f}")
    if sound.volume > 1 or len(tracks) > 1:
        heard = heard.filter("alimiter", limit=_LOUDEST, attack=_LOOK_AHEAD_MS, level=0)
        heard = heard.filter("atrim", start=_LOOK_AHEAD_MS / 1000).filter("asetpts", "PTS-STARTPTS")
    # `-shortest` loses frames, so the sound is made long enough and then cut. Not endless: `atrim` goes by
    # timestamps, which mixed sound may lack, and would never end.
    length = f"{float(duration_s):.6f}"
    heard = heard.filter("apad", whole_dur=length).filter("atrim", end=length)
    extra = {"movflags": "+faststart"} if container in ("mp4", "mov") else {}
    film = open_input(silent.path)["V:0"]
    output = ffmpeg.output(
        film,
        heard,
        file_name(part),
        format=container,
        vcodec="copy",
        bitexact=None,
        map_metadata=-1,
        map_chapters=-1,
        **_CODECS[container],
        **extra,
        **tags,
    )
    with running(compiled(output.overwrite_output()), descriptors=silent.descriptors) as child:
        status = child.finish()
        log = child.log
    if failure := disk_failure(log.text, status, target):
        raise failure
    if status:
        part.unlink(missing_ok=True)
        return f"{sound.name} can't be decoded, so there is none: {log.reason}"
    if log.error_count:
        return f"{sound.name} is damaged: {counted(log.error_count, 'error')} ({log.reason})"
    return None


def _opened(track: SoundTrack) -> Any:
    """A track as a stream of ffmpeg."""
    # `async=1` with `first_pts=0` fills gaps and a late start with silence.
    seek = {"ss": f"{track.start_s:.6f}"} if track.start_s else {}
    return (
        open_input(track.path, demuxers=SOUND_DEMUXERS, **seek)[f"a:{track.track}"]
        .filter("aresample", **{"async": 1, "first_pts": 0})
        .filter("aformat", channel_layouts="mono|stereo")
    )
