"""From what was typed to a list of input files, in an order that every run and machine agrees on.

Inputs are videos, pictures, folders of them, patterns, and metadata tables in the manner of VoxCeleb, which
say whose face is wanted, from which video, and from when to when.
"""

import csv
import glob
import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import require_regular_file, unique_name
from mcnet_cli.media.pictures import PICTURE_SUFFIXES, natural_key
from mcnet_cli.preprocessing.request import PreprocessRequest, is_table

VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".asf", ".ogv", ".3gp", ".y4m", ".apng", ".vob", ".dv", ".mxf", ".ivf"),
}
TABLE_COLUMNS = ("video_id", "start", "end", "bbox", "fps", "width", "height")
MAX_FIELD_LENGTH = 10_000  # characters
MAX_NAME_BYTES = 120  # leaves room for frame numbers and the longest suffix within a file system's 255
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a video in which one person is wanted.

    start_s, end_s: times of the first frame and of the first frame after the segment. box: left, top, right,
    bottom of the face in [0, 1] of the picture. partition: `train` or `test`, if the table says so.
    """

    identity: str
    start_s: Fraction
    end_s: Fraction
    box: tuple[float, float, float, float]
    partition: str | None = None


@dataclass(frozen=True, slots=True)
class InputFile:
    """A video or picture that is to be preprocessed.

    path: as typed. name: unique in the run; clips are named after it. segments: the parts that a metadata
    table wants; empty for the whole file. problem: why it can't be used, if that is known already.
    """

    path: Path
    name: str
    segments: tuple[Segment, ...] = ()
    problem: str | None = None

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with the segments and the problem."""
        return hashlib.sha256(repr((self.segments, self.problem)).encode()).hexdigest()[:16]


def find_inputs(request: PreprocessRequest) -> list[InputFile]:
    """All files that a request asks for, none twice. InputError if there are none, and for a bad table."""
    found: list[tuple[Path, str, tuple[Segment, ...], str | None]] = []
    seen: set[str] = set()
    for typed in _expanded(request.inputs):
        if is_table(typed):
            found += _from_table(request, Path(typed))
            continue
        for path in _files(Path(typed), request.output):
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                found.append((path, path.stem, (), None))
    if not found:
        named = ", ".join(shown(name) for name in request.inputs[:3])
        raise InputError(f"{named}: no videos and no pictures are in it, so there are no clips to make")
    taken: set[str] = set()
    return [
        InputFile(path, unique_name(safe_name(stem), taken), segments, problem)
        for path, stem, segments, problem in found
    ]


def _expanded(typed: tuple[str, ...]) -> Iterator[str]:
    """Replaces patterns by what they match; the name of a file that exists is never a pattern."""
    for name in typed:
        if os.path.lexists(name) or not glob.has_magic(name):
            yield name
            continue
        matches = sorted(glob.glob(name, recursive=True), key=natural_key)
        if not matches:
            raise InputError(f"nothing matches {shown(name)}", hint="check the pattern")
        yield from matches


def _files(path: Path, output: Path) -> Iterator[Path]:
    """A file itself, or all videos and pictures below a folder, except hidden ones and those in `output`."""
    if not path.is_dir():
        yield path
        return
    own = os.path.realpath(output)
    if os.path.realpath(path) == own:
        raise UsageError(f"-o {shown(output)} is an input, too", hint="give the clips a folder of their own")
    for here, folders, names in os.walk(path, onerror=_warn_unreadable):  # symbolic links are not followed
        folders[:] = sorted(
            (
                name
                for name in folders
                if not name.startswith(".") and os.path.realpath(os.path.join(here, name)) != own
            ),
            key=natural_key,
        )
        for name in sorted(names, key=natural_key):
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES:
                yield Path(here) / name


def _warn_unreadable(error: OSError) -> None:
    log.warning("can't look into %s: %s", shown(str(error.filename)), error.strerror)


def _from_table(
    request: PreprocessRequest, table: Path
) -> Iterator[tuple[Path, str, tuple[Segment, ...], str | None]]:
    """The videos of a metadata table, each with all its segments, so that it is decoded once.

    A line that makes no sense is a file of its own, with a problem.
    """
    assert request.videos is not None
    files: dict[str, Path] = {}
    for path in _files(request.videos, request.output):
        files.setdefault(path.stem, path)
    rows: dict[str, dict[Segment | str, None]] = {}  # dictionaries, as sets that keep their order
    for video, found in read_table(table):
        rows.setdefault(video, {})[found] = None
    for video in sorted(rows, key=natural_key):
        path = files.get(video, request.videos / f"{safe_name(video)}.mp4")
        for problem in rows[video]:
            if isinstance(problem, str):
                yield path, video, (), problem
        if segments := tuple(found for found in rows[video] if isinstance(found, Segment)):
            yield path, video, segments, None


def read_table(path: Path) -> list[tuple[str, Segment | str]]:
    """The rows of `video_id,start,end,bbox,fps,width,height[,partition][,person_id]`.

    start and end are frames, both included, at `fps`; bbox is `left-top-right-bottom` in pixels of a video of
    `width` x `height`. Without person_id a video_id is `video#person`, as crop_vox.py of the paper's data
    writes it. Each row becomes the video's id with its segment, or with what is wrong in that line.
    InputError if the file is no such table.
    """
    require_regular_file(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in TABLE_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{shown(path)} lacks the columns {', '.join(missing)}",
                    hint=f"it needs {', '.join(TABLE_COLUMNS)}, and person_id if there is one",
                )
            return list(_rows(reader, path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown(path)} is not a table of comma-separated values") from error


def _rows(reader: "csv.DictReader[str]", path: Path) -> Iterator[tuple[str, Segment | str]]:
    for fields in reader:
        video, _, person = (fields["video_id"] or "").partition("#")
        person = fields.get("person_id") or person or video
        try:
            if not video or any(len(value or "") > MAX_FIELD_LENGTH for value in fields.values() if value):
                raise ValueError
            yield video, _segment(fields, person)
        except (ValueError, TypeError, ZeroDivisionError):
            yield video or "_", f"{shown(path)}, line {reader.line_num}: its numbers make no sense"


def _segment(fields: dict[str, str], person: str) -> Segment:
    rate = Fraction(fields["fps"])
    first, last = int(fields["start"]), int(fields["end"])
    width, height = int(fields["width"]), int(fields["height"])
    left, top, right, bottom = (float(number) for number in fields["bbox"].split("-"))
    box = (left / width, top / height, right / width, bottom / height)
    if not (0 <= first <= last and rate > 0 and left < right and top < bottom and max(map(abs, box)) < 10):
        raise ValueError
    return Segment(person, first / rate, (last + 1) / rate, box, fields.get("partition") or None)


def safe_name(text: str) -> str:
    """`text` as one part of a path: no separators, no leading dot, not empty, not too long."""
    name = "".join("_" if c in '/\\:*?"<>|#' or not c.isprintable() else c for c in text).strip()
    name = os.fsencode(name)[:MAX_NAME_BYTES].decode("utf-8", "ignore") or "_"
    return "_" + name[1:] if name[0] == "." else name
