"""From the faces of one file to clips, portraits, landmarks, and rows of the index."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from mcnet_cli import __version__
from mcnet_cli.face import Landmarks, resample
from mcnet_cli.face.sampling import Picture
from mcnet_cli.files import system_failure
from mcnet_cli.media import ffmpeg_version, open_output, write_image
from mcnet_cli.preprocessing.inputs import Source
from mcnet_cli.preprocessing.landmarks_file import SUFFIX, write_landmarks
from mcnet_cli.preprocessing.metadata import Segment
from mcnet_cli.preprocessing.names import safe_name, unique_name
from mcnet_cli.preprocessing.placement import inverse
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.shot import Shot, reason_to_drop
from mcnet_cli.preprocessing.spool import through
from mcnet_cli.preprocessing.tube import Tube


@dataclass
class Writer:
    """Writes below `output` what one file's faces give, and remembers it.

    rows: of the index, one a face, kept or dropped. files: all that was written. before_files: told of them
    before there are more, so that whoever is killed leaves word of what to remove.
    """

    source: Source
    output: Path
    settings: Settings
    before_files: Callable[[list[Path]], None]
    rows: list[dict[str, Any]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def tube(self, tube: Tube, frame_size: tuple[int, int], rate: Fraction, segment: Segment | None) -> None:
        """Writes a finished tube's clip, unless there is a reason not to."""
        settings, shot = self.settings, Shot.of_tube(tube, frame_size)
        row = self._row(shot, segment.identity if segment else f"{self.source.name}-{tube.number}")
        row |= {
            "first": tube.first,
            "last": tube.last,
            "fps": str(rate),
            "start_s": round(float(tube.first / rate), 3),
            "end_s": round(float((tube.last + 1) / rate), 3),
            "ended": tube.ended,
        }
        if segment and segment.partition:
            row["partition"] = segment.partition
        if reason := reason_to_drop(shot, settings, least_frames=settings.min_frames):
            row |= {"status": "dropped", "reason": reason}
            return
        target = self._target(row["identity"], f"{self.source.name}#{tube.first:06d}-{tube.last:06d}")
        pictures = tube.spool.pictures(tube.frames)
        cropped = (
            resample(picture, through(placement, tube.spool, number), (settings.size, settings.size))
            for number, (picture, placement) in enumerate(zip(pictures, shot.placements, strict=True))
        )
        suffix = ".mp4" if settings.format == "mp4" else ""
        self._write(row, target.with_name(target.name + suffix), cropped, shot, rate)

    def portrait(self, number: int, rgb: Picture, face: Landmarks) -> None:
        """Writes the `number`-th face of a picture as a portrait, unless there is a reason not to."""
        shot = Shot.of_picture(rgb, face, self.settings)
        row = self._row(shot, f"{self.source.name}-{number}")
        if reason := reason_to_drop(shot, self.settings, least_frames=1):
            row |= {"status": "dropped", "reason": reason}
            return
        size = (self.settings.size, self.settings.size)
        cropped = resample(rgb, inverse(shot.placements[0]), size)
        target = self._target(row["identity"], self.source.name)
        self._write(row, target.with_name(target.name + ".png"), [cropped], shot, Fraction(1))

    def nothing_found(self) -> None:
        """Notes that there was no face at all."""
        self.rows.append({**self._head(None), "status": "dropped", "reason": "no face", **self._tail()})

    def undo(self) -> None:
        """Removes all that was written."""
        remove(self.files)

    def _head(self, identity: str | None) -> dict[str, Any]:
        return {
            "clip": None,
            "status": "kept",
            "reason": None,
            "source": str(self.source.path),
            "identity": identity,
        }

    def _tail(self) -> dict[str, Any]:
        versions = {"mcnet": __version__, "ffmpeg": ffmpeg_version(), "detector": self.settings.detector}
        return {
            "rule": self.settings.rule,
            "framing": self.settings.framing.as_json(),
            "align": self.settings.align,
            "damaged": False,
            "versions": versions,
        }

    def _row(self, shot: Shot, identity: str) -> dict[str, Any]:
        row = {**self._head(identity), **shot.as_row(self.settings.size), **self._tail()}
        self.rows.append(row)
        return row

    def _target(self, identity: str, name: str) -> Path:
        """The clip's path, but for its suffix. A table may want the same stretch of two faces."""
        folder = safe_name(identity)
        name = unique_name(f"{folder}/{name}", self._taken)
        self._taken.add(name.casefold())
        return self.output / name

    def _write(
        self, row: dict[str, Any], film: Path, frames: Iterable[Picture], shot: Shot, rate: Fraction
    ) -> None:
        """Writes a film (a video, a picture, or a folder of pictures) and its landmarks, both or neither.

        One thread encodes it: so its bytes are the same on every machine.
        """
        name = film.name.removesuffix(film.suffix if film.suffix in (".mp4", ".png") else "")
        landmarks = film.with_name(name + SUFFIX)
        new = [film, landmarks]
        try:
            film.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise system_failure(error, film) from error
        self.files += new  # from here on `undo` must see them
        self.before_files(self.files)
        if film.suffix == ".png":
            (frame,) = frames
            write_image(film, frame, overwrite=True)
        else:
            _encode(film, frames, (self.settings.size, self.settings.size), rate)
        points, irises = shot.in_clip(shot.points), shot.in_clip(shot.irises)
        write_landmarks(landmarks, points, irises, shot.scores, self.settings.size)
        row["clip"] = film.relative_to(self.output).as_posix()


def _encode(film: Path, frames: Iterable[Picture], size: tuple[int, int], rate: Fraction) -> None:
    pattern = film if film.suffix == ".mp4" else film / "%05d.png"
    with open_output(pattern, size=size, frame_rate=rate, overwrite=True, threads=1) as sink:
        for frame in frames:
            sink.write(frame)


def remove(paths: Iterable[Path]) -> None:
    """Removes files and folders, where they exist, and folders of pictures when the last one goes."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            continue
        path.unlink(missing_ok=True)
        if "#" in path.parent.name:  # a clip's; a person's folder may be in use by another process
            with suppress(OSError):
                path.parent.rmdir()


def sizes_of(files: Iterable[Path], root: Path) -> Iterator[tuple[str, int]]:
    """The name below `root` and the size of each file, those in folders included."""
    for path in files:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            yield file.relative_to(root).as_posix(), file.stat().st_size
