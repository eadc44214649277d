"""Metadata tables in the manner of VoxCeleb: which face of which video, from when to when."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mcnet_cli.errors import InputError, shown
from mcnet_cli.files import require_regular_file
from mcnet_cli.media.pictures import natural_key

COLUMNS = ("video_id", "start", "end", "bbox", "fps", "width", "height")
LARGEST_FIELD = 10_000


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a video in which one person is wanted.

    start_s, end_s: the first frame's moment and that of the first frame after. box: left, top, right, bottom
    in [0, 1] of the picture: where the face is. partition: `train` or `test`, where the table tells.
    """

    identity: str
    start_s: Fraction
    end_s: Fraction
    box: tuple[float, float, float, float]
    partition: str | None = None


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table: the video that it names and the segment, or what is wrong with the line."""

    video: str
    segment: Segment | None
    problem: str | None = None


def read_table(path: Path) -> list[TableRow]:
    """The rows of `video_id,start,end,bbox,fps,width,height[,partition][,person_id]`.

    start and end are frames, both included, at `fps`; bbox is `left-top-right-bottom` in pixels of a video of
    `width` x `height`. Without person_id a video_id is `video#person`, as crop_vox.py of the paper's data
    writes it. InputError if it is no such table.
    """
    require_regular_file(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{shown(path)} lacks the columns {', '.join(missing)}",
                    hint=f"it needs {', '.join(COLUMNS)}, and person_id if there is one",
                )
            return list(_rows(reader, path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown(path)} is not a table of comma-separated values") from error


def _rows(reader: "csv.DictReader[str]", path: Path) -> Iterator[TableRow]:
    for fields in reader:
        video, _, person = (fields["video_id"] or "").partition("#")
        person = fields.get("person_id") or person or video
        try:
            if not video or any(len(value or "") > LARGEST_FIELD for value in fields.values() if value):
                raise ValueError
            yield TableRow(video, _segment(fields, person))
        except (ValueError, TypeError, ZeroDivisionError):
            yield TableRow(
                video or "_", None, f"{shown(path)}, line {reader.line_num}: its numbers make no sense"
            )


def _segment(fields: dict[str, str], person: str) -> Segment:
    rate = Fraction(fields["fps"])
    first, last = int(fields["start"]), int(fields["end"])
    width, height = int(fields["width"]), int(fields["height"])
    left, top, right, bottom = (float(number) for number in fields["bbox"].split("-"))
    box = (left / width, top / height, right / width, bottom / height)
    if not (0 <= first <= last and rate > 0 and left < right and top < bottom and max(map(abs, box)) < 10):
        raise ValueError
    return Segment(person, first / rate, (last + 1) / rate, box, fields.get("partition") or None)


def by_video(rows: list[TableRow]) -> dict[str, list[TableRow]]:
    """Rows that name the same video together, in natural order of the videos; no row twice."""
    grouped: dict[str, dict[TableRow, None]] = {}
    for row in rows:
        grouped.setdefault(row.video, {})[row] = None
    return {video: list(grouped[video]) for video in sorted(grouped, key=lambda v: (natural_key(v), v))}
