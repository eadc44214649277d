"""Which clip moves which."""

import csv
from dataclasses import dataclass
from pathlib import Path

from mcnet_cli.errors import InputError, shown
from mcnet_cli.evaluation.request import RECONSTRUCTION, EvaluationRequest
from mcnet_cli.files import require_regular_file
from mcnet_cli.media.clips import ClipPath, find_clips

FILE_LIMIT = 64 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Pair:
    """The first frame of `source` is moved by `driving`; they are one clip for a reconstruction."""

    source: ClipPath
    driving: ClipPath


def pairs_of(request: EvaluationRequest) -> list[Pair]:
    """All that is to be made; InputError without any."""
    clips = find_clips(request.clips)
    if request.protocol == RECONSTRUCTION:
        return [Pair(clip, clip) for clip in clips]
    return ring(clips) if request.pairs is None else read_pairs(request.pairs, clips)


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


def read_pairs(path: Path, clips: list[ClipPath]) -> list[Pair]:
    """The rows of a CSV file with the columns source and driving: clips by their paths below the folder.

    Suffixes may be left out. InputError names the first line that is wrong.
    """
    if require_regular_file(path).st_size > FILE_LIMIT:
        raise InputError(f"{shown(path)} is too large for a file of pairs")
    named = {str(Path(clip.name).with_suffix("")): clip for clip in clips if clip.path.is_file()}
    named |= {clip.name: clip for clip in clips}
    pairs = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"source", "driving"} <= {*(rows.fieldnames or ())}:
                raise InputError(f"{shown(path)} has no columns source and driving in its first line")
            for row in rows:
                names = row["source"], row["driving"]
                for name in names:
                    if name not in named:
                        raise InputError(
                            f"{shown(path)}, line {rows.line_num}: there is no clip {shown(str(name))}",
                            hint="names are paths below the folder of clips",
                        )
                pairs.append(Pair(*(named[name] for name in names)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown(path)} is no CSV file in UTF-8") from error
    if not pairs:
        raise InputError(f"{shown(path)} names no pairs")
    return pairs
