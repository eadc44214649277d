"""Writing what one file's faces give: clips, portraits, their landmarks, and rows of the index."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from mcnet_cli import __version__
from mcnet_cli.arrays import Picture
from mcnet_cli.face import Landmarks, resample
from mcnet_cli.files import atomic_output, system_failure, unique_name
from mcnet_cli.media import ffmpeg_version, open_output, write_image
from mcnet_cli.media.frames import Matrix
from mcnet_cli.preprocessing.inputs import InputFile, Segment, safe_name
from mcnet_cli.preprocessing.placement import inverse
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.tube import Candidate, Tube, sharpness

LANDMARKS_SUFFIX = ".landmarks.safetensors"
LANDMARKS_FORMAT = {"mcnet.landmarks": "1"}  # one entry: of several, the library would shuffle the order
MAX_FLOAT16_PX = 512  # side up to which float16 is exact to a quarter of a pixel


@dataclass
class Writer:
    """Writes below `output` what the faces of one file give, and remembers it.

    before_files: gets the list of files before each new one is written, so that a run that is killed leaves
    a record of what to remove. rows: of the index, one per face, kept or dropped. files: all that were
    written.
    """

    file: InputFile
    output: Path
    settings: Settings
    before_files: Callable[[list[Path]], None]
    rows: list[dict[str, Any]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def write_clip(self, tube: Tube, rate: Fraction, segment: Segment | None) -> None:
        """Writes the clip of a tube that has ended, unless there is a reason to drop it."""
        settings, candidate = self.settings, tube.candidate()
        identity = segment.identity if segment else self._identity(tube.number)
        row = self._add_row(identity, candidate.as_row(settings.size))
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
        if reason := candidate.reason_to_drop(settings, min_frames=settings.min_frames):
            row |= {"status": "dropped", "reason": reason}
            return
        target = self._target(row["identity"], f"{self.file.name}#{tube.first:06d}-{tube.last:06d}")
        kept = tube.buffer.pictures(tube.frames)
        cropped = (
            tube.buffer.cropped(layers, number, placement)
            for number, (layers, placement) in enumerate(zip(kept, candidate.placements, strict=True))
        )
        suffix = ".mp4" if settings.format == "mp4" else ""
        film = target.with_name(target.name + suffix)
        self._write(row, film, cropped, candidate, rate, tube.buffer.matrix)

    def write_portrait(self, number: int, rgb: Picture, face: Landmarks) -> None:
        """Writes the `number`-th face of a picture as a portrait, unless there is a reason to drop it."""
        height, width = rgb.shape[:2]
        candidate = Candidate.of([face], sharpness(rgb, face.region.box), (width, height), self.settings)
        row = self._add_row(self._identity(number), candidate.as_row(self.settings.size))
        if reason := candidate.reason_to_drop(self.settings, min_frames=1):
            row |= {"status": "dropped", "reason": reason}
            return
        size = (self.settings.size, self.settings.size)
        cropped = resample(rgb, inverse(candidate.placements[0]), size)
        name = self.file.name if self.file.identity is None else f"{self.file.name}-{number}"
        target = self._target(row["identity"], name)
        self._write(row, target.with_name(target.name + ".png"), [cropped], candidate, Fraction(1))

    def note_no_face(self) -> None:
        """Adds the row that says that there was no face at all."""
        row = self._add_row(None, {})
        row |= {"status": "dropped", "reason": "no face"}

    def undo(self) -> None:
        """Removes all that was written."""
        remove(self.files)

    def _identity(self, number: int) -> str:
        """Whose face the `number`-th one is: the person whom folders name, else nobody who is known yet."""
        return self.file.identity or f"{self.file.name}-{number}"

    def _add_row(self, identity: str | None, measured: dict[str, Any]) -> dict[str, Any]:
        """Adds a row to the index and returns it. measured: what is known about the face."""
        row = {
            "clip": None,
            "status": "kept",
            "reason": None,
            "source": str(self.file.path),
            "identity": identity,
            **measured,
            "rule": self.settings.rule,
            "framing": self.settings.framing.as_json(),
            "align": self.settings.align,
            "damaged": False,
            "versions": {
                "mcnet": __version__,
                "ffmpeg": ffmpeg_version(),
                "detector": self.settings.detector,
            },
        }
        self.rows.append(row)
        return row

    def _target(self, identity: str, name: str) -> Path:
        """The clip's path without its suffix, which is unique: a table may want a person's frames twice."""
        return self.output / unique_name(f"{safe_name(identity)}/{name}", self._taken)

    def _write(
        self,
        row: dict[str, Any],
        film: Path,
        frames: Iterable[Picture],
        candidate: Candidate,
        rate: Fraction,
        matrix: Matrix | None = None,
    ) -> None:
        """Writes a film (a video, a picture, or a folder of pictures) and its landmarks, both or neither."""
        name = film.name.removesuffix(film.suffix if film.suffix in (".mp4", ".png") else "")
        landmarks = film.with_name(name + LANDMARKS_SUFFIX)
        try:
            film.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise system_failure(error, film) from error
        self.files += [film, landmarks]  # from here on `undo` removes them
        self.before_files(self.files)
        if film.suffix == ".png":
            (frame,) = frames
            write_image(film, frame, overwrite=True)
        else:
            _encode(film, frames, (self.settings.size, self.settings.size), rate, matrix)
        points, irises = candidate.in_clip(candidate.points), candidate.in_clip(candidate.irises)
        write_landmarks(landmarks, points, irises, candidate.scores, self.settings.size)
        row["clip"] = film.relative_to(self.output).as_posix()


def _encode(
    film: Path, frames: Iterable[Picture], size: tuple[int, int], rate: Fraction, matrix: Matrix | None
) -> None:
    """Writes a video or a folder of pictures, with one thread so that all machines give the same bytes."""
    pattern = film if film.suffix == ".mp4" else film / "%05d.png"
    with open_output(
        pattern, size=size, frame_rate=rate, overwrite=True, threads=1, quick=True, matrix=matrix
    ) as sink:
        for frame in frames:
            sink.write(frame)


def write_landmarks(
    path: Path,
    points: NDArray[np.floating],
    irises: NDArray[np.floating],
    scores: NDArray[np.floating],
    size: int,
) -> None:
    """Writes a clip's `points` (T, 468, 2), `irises` (T, 10, 2), and `scores` (T,) in [0, 1].

    Points are in pixels of a clip of side `size`; irises are in the order of `Landmarks`. Frames in which the
    face was not found have NaN and the score 0. Up to 512 pixels, points are float16.
    """
    kind = np.float16 if size <= MAX_FLOAT16_PX else np.float32
    entries = {
        "points": points.astype(kind),
        "irises": irises.astype(kind),
        "scores": scores.astype(np.float32),
    }
    data = save(entries, metadata=LANDMARKS_FORMAT)
    with atomic_output(path, overwrite=True) as part:
        part.write_bytes(data)


def remove(paths: Iterable[Path]) -> None:
    """Removes files and folders if they exist, and a clip's folder of pictures with its last picture."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            continue
        path.unlink(missing_ok=True)
        if "#" in path.parent.name:  # a clip's folder; a person's may be in use by another process
            with suppress(OSError):
                path.parent.rmdir()


def sizes_of(files: Iterable[Path], root: Path) -> Iterator[tuple[str, int]]:
    """The name below `root` and the size of each file, those in folders included."""
    for path in files:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            yield file.relative_to(root).as_posix(), file.stat().st_size
