"""What moves what: the pairs of a protocol."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcnet_cli.errors import InputError, shown
from mcnet_cli.evaluation.request import RECONSTRUCTION, EvaluationRequest
from mcnet_cli.files import require_regular_file
from mcnet_cli.media.clips import PICTURE_SUFFIXES, ClipPath, find_clips

FILE_LIMIT = 64 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Pair:
    """`source` is moved by `driving`: one clip twice in a reconstruction, two in a reenactment.

    Of a clip the first frame is moved. In an animation the source is a picture.
    """

    source: ClipPath
    driving: ClipPath


def pairs_of(request: EvaluationRequest, protocol: str) -> list[Pair]:
    """All that is to be made, drivings together; InputError without any."""
    clips = find_clips(request.clips)
    if protocol == RECONSTRUCTION:
        return [Pair(clip, clip) for clip in clips]
    sources = clips if request.portraits is None else find_portraits(request.portraits)
    if request.pairs is not None:
        return read_pairs(request.pairs, sources, clips)
    if request.portraits is not None:
        return [Pair(portrait, clip) for clip in clips for portrait in sources]
    return ring(clips)


def find_portraits(folder: Path) -> list[ClipPath]:
    """The pictures below `folder` in the order of their names, without hidden ones; InputError if none."""
    if not folder.is_dir():
        reason = "is not a folder of pictures" if folder.exists() else "doesn't exist"
        raise InputError(f"{shown(folder)} {reason}", hint="give a folder of portraits")
    found = [
        ClipPath(path, str(path.relative_to(folder)), path.stem)
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise InputError(f"no pictures in {shown(folder)}", hint="it should hold portraits (png, jpg, webp)")
    return sorted(found, key=lambda portrait: portrait.name)


def ring(clips: list[ClipPath]) -> list[Pair]:
    """Each clip drives the next one of another person, the last ones the first.

    InputError if there is no other person, as far as names tell.
    """
    pairs = []
    for number, driving in enumerate(clips):
        others = [*clips[number + 1 :], *clips[:number]]
        source = next((clip for clip in others if clip.identity != driving.identity), None)
        if source is None:
            raise InputError(
                "reenactment needs clips of two people, and by their names these are of one",
                hint="put each person's clips into a folder of their own, or name pairs with --pairs",
            )
        pairs.append(Pair(source, driving))
    return pairs


def read_pairs(path: Path, sources: Sequence[ClipPath], drivings: Sequence[ClipPath]) -> list[Pair]:
    """The rows of a CSV file with the columns source and driving: paths below their folders.

    Suffixes may be left out. InputError names the first line that is wrong.
    """
    if require_regular_file(path).st_size > FILE_LIMIT:
        raise InputError(f"{shown(path)} is too large for a file of pairs")
    known = _by_name(sources), _by_name(drivings)
    pairs = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"source", "driving"} <= {*(rows.fieldnames or ())}:
                raise InputError(f"{shown(path)} has no columns source and driving in its first line")
            for row in rows:
                pair = []
                for column, named in zip(("source", "driving"), known, strict=True):
                    if row[column] not in named:
                        what = f"there is no {column} {shown(str(row[column]))}"
                        raise InputError(
                            f"{shown(path)}, line {rows.line_num}: {what}",
                            hint="names are paths below the folders of clips and of portraits",
                        )
                    pair.append(named[row[column]])
                pairs.append(Pair(*pair))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown(path)} is no CSV file in UTF-8") from error
    if not pairs:
        raise InputError(f"{shown(path)} names no pairs")
    return pairs


def _by_name(clips: Sequence[ClipPath]) -> dict[str, ClipPath]:
    """Clips by their names, files also without their suffixes."""
    named = {str(Path(clip.name).with_suffix("")): clip for clip in clips if clip.path.is_file()}
    return named | {clip.name: clip for clip in clips}
