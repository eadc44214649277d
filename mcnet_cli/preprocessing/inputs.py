"""From what was typed to a list of input files, in an order that every run and machine agrees on.

Inputs are videos, pictures, folders of them, patterns, and metadata tables in the manner of VoxCeleb, which
say whose face is wanted, from which video, and from when to when.
"""

import csv
import glob
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import require_regular_file, unique_name
from mcnet_cli.media.clips import SPLITS
from mcnet_cli.media.pictures import PICTURE_SUFFIXES, natural_key
from mcnet_cli.preprocessing.request import PreprocessRequest, is_table

VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".asf", ".ogv", ".3gp", ".y4m", ".apng", ".vob", ".dv", ".mxf", ".ivf"),
}
TABLE_COLUMNS = ("video_id", "start", "end", "bbox", "fps", "width", "height")
MAX_FIELD_LENGTH = 10_000  # characters
MAX_NAME_BYTES = 120  # leaves room for frame numbers and the longest suffix within a file system's 255
# Numbers may be negative: a face at the picture's edge has a box that begins outside.
BOX = re.compile("-".join([r"(-?\d+(?:\.\d*)?)"] * 4))
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
    table wants; empty for the whole file. problem: why it can't be used, if that is known already. identity:
    the person that all its faces show, if folders say so.
    """

    path: Path
    name: str
    segments: tuple[Segment, ...] = ()
    problem: str | None = None
    identity: str | None = None

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with the segments, the problem and the identity."""
        wanted: tuple[object, ...] = (self.segments, self.problem)
        if self.identity is not None:  # without one they are those of former versions
            wanted = (*wanted, self.identity)
        return hashlib.sha256(repr(wanted).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def find_inputs(request: PreprocessRequest) -> list[InputFile]:
    """All files that a request asks for, none twice. InputError if there are none, and for a bad table."""
    found: list[InputFile] = []
    seen: set[str] = set()
    everything = list(_expanded(request.inputs))
    root = _common_folder([Path(typed) for typed in everything if not is_table(typed)])
    for typed in everything:
        if is_table(typed):
            found += _from_table(request, Path(typed))
            continue
        for path in _files(Path(typed), request.output):
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                found.append(InputFile(path, path.stem, identity=_person(path, root)))
    if not found:
        named = ", ".join(shown(name) for name in request.inputs[:3])
        raise InputError(f"{named}: no videos and no pictures are in it, so there are no clips to make")
    taken: set[str] = set()
    return [replace(file, name=unique_name(safe_name(file.name), taken)) for file in found]


def _common_folder(typed: Sequence[Path]) -> Path:
    """The folder that all typed files and folders lie in; a folder that is typed alone is it itself."""
    folders = [os.path.abspath(path if path.is_dir() else path.parent) for path in typed]  # noqa: PTH100
    return Path(os.path.commonpath(folders)) if folders else Path()


def _person(path: Path, root: Path) -> str | None:
    """Who a file shows, by its folder below `root`.

    None for files in `root` itself, and for those right in the part of a split, such as `root/train`.
    """
    folders = Path(os.path.abspath(path)).relative_to(root).parent.parts  # noqa: PTH100
    if folders and folders[0].lower() in SPLITS:
        folders = folders[1:]
    return "/".join(folders) or None


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


def _from_table(request: PreprocessRequest, table: Path) -> Iterator[InputFile]:
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
                yield InputFile(path, video, problem=problem)
        if segments := tuple(found for found in rows[video] if isinstance(found, Segment)):
            yield InputFile(path, video, segments)


def read_table(path: Path) -> list[tuple[str, Segment | str]]:
    """The rows of `video_id,start,end,bbox,fps,width,height[,partition][,person_id]`.

    start and end are frames, both included, at `fps`; bbox is `left-top-right-bottom` in pixels of a video of
    `width` x `height`, and is clipped to it. Without person_id a video_id is `video#person`, as crop_vox.py
    of the paper's data writes it. Each row becomes the video's id with its segment, or with what is wrong in
    that line. InputError if the file is no such table.
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
    numbers = BOX.fullmatch(fields["bbox"].strip())
    if numbers is None or min(width, height) < 1:
        raise ValueError
    left, right = (min(max(float(numbers[place]) / width, 0.0), 1.0) for place in (1, 3))
    top, bottom = (min(max(float(numbers[place]) / height, 0.0), 1.0) for place in (2, 4))
    if not (0 <= first <= last and rate > 0 and left < right and top < bottom):
        raise ValueError
    partition = fields.get("partition") or None
    return Segment(person, first / rate, (last + 1) / rate, (left, top, right, bottom), partition)


def safe_name(text: str) -> str:
    """`text` as one part of a path: no separators, no leading dot, not empty, not too long."""
    name = "".join("_" if c in '/\\:*?"<>|#' or not c.isprintable() else c for c in text).strip()
    name = os.fsencode(name)[:MAX_NAME_BYTES].decode("utf-8", "ignore") or "_"
    return "_" + name[1:] if name[0] == "." else name
