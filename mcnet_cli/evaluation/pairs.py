"""What moves what: the pairs of a protocol, and their frames, made one by one as `animate` makes them."""

import csv
import json
import statistics
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation import Animator, Transfer
from mcnet_cli.animation.driving import Driving, pictures_of
from mcnet_cli.animation.films import LruCache
from mcnet_cli.animation.source import face_picture
from mcnet_cli.arrays import Picture, resized
from mcnet_cli.checkpoint import Weights, read_weights
from mcnet_cli.devices import Compute
from mcnet_cli.errors import InputError, UsageError, counted, shown
from mcnet_cli.evaluation.report import WeightsFacts
from mcnet_cli.evaluation.request import ANIMATION, RECONSTRUCTION, EvaluationRequest, Settings
from mcnet_cli.files import require_regular_file
from mcnet_cli.media import is_picture, open_frames
from mcnet_cli.media.clips import PICTURE_SUFFIXES, ClipPath, find_clips
from mcnet_cli.motion.following import OpenFrames

FILE_LIMIT = 64 << 20  # bytes of a file of pairs
DRIVINGS_KEPT = 32  # whose motion is kept for the next pair or row: about 0.7 kB a frame
LOG_FILE = "log.jsonl"  # of a training run, beside its weights
# How a protocol carries motion over, unless settings say otherwise.
TRANSFERS: dict[str, dict[str, Any]] = {RECONSTRUCTION: {"motion": "absolute", "smooth": 0.0}}

# Called after each frame that was read or made, with the number of those of a pair that have been made.
OnFrame = Callable[[int], None]


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
    """The pictures below `folder` in the order of their names, without hidden ones; InputError if none.

    Files without a picture's suffix are recognised by their content.
    """
    if not folder.is_dir():
        reason = "is not a folder of pictures" if folder.exists() else "doesn't exist"
        raise InputError(f"{shown(folder)} {reason}", hint="give a folder of portraits")
    found = [
        ClipPath(path, str(path.relative_to(folder)), path.stem)
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and _is_or_claims_to_be_picture(path)
    ]
    if not found:
        raise InputError(f"no pictures in {shown(folder)}", hint="it should hold portraits (png, jpg, avif)")
    return sorted(found, key=lambda portrait: portrait.name)


def _is_or_claims_to_be_picture(path: Path) -> bool:
    try:
        return path.suffix.lower() in PICTURE_SUFFIXES or is_picture(path)
    except InputError:  # an empty file, say, of which nobody claims that it is a picture
        return False


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


@dataclass(frozen=True, slots=True, eq=False)
class MovedPair:
    """A pair that is ready to be made; the frames are made when they are asked for.

    source: (S, S, 3), what is moved. count: frames. frames: gives the driving's frames and those made for
    them, (S, S, 3) each. no_face: frames of the driving without a face. damaged: it could be read in part.
    """

    source: Picture
    count: int
    frames: Callable[[], Generator[tuple[Picture, Picture], None, None]]
    no_face: int = 0
    damaged: bool = False


class PairMover:
    """Moves sources with one network, and remembers the motion of drivings that further pairs need again.

    keypoints: where the network's come from. size: side of the network's frames in pixels.
    """

    def __init__(self, request: EvaluationRequest, animator: Animator) -> None:
        self._request, self._animator = request, animator
        self._crops = ANIMATION in request.protocols
        self._drivings: LruCache[Driving] = LruCache(DRIVINGS_KEPT)
        self.size = animator.size
        tracked = animator.finder is not None and animator.landmarks
        self.keypoints = "tracked landmarks" if tracked else "the network's detector"

    @property
    def facts(self) -> WeightsFacts:
        """What the weights cost: parameters, and what a training run's log says that lies beside them."""
        parameters = sum(tensor.numel() for tensor in self._animator.renderer.model.parameters())
        return WeightsFacts(parameters, *training_run(self._animator.weights.path.with_name(LOG_FILE)))

    def move(self, pair: Pair, protocol: str, settings: Settings, on_frame: OnFrame) -> MovedPair:
        """Reads source and driving; InputError if one of them can't be used."""
        if self._crops:
            portrait = self._animator.portrait(pair.source.path)
        else:
            first_frame(pair.driving)  # which is square
            portrait = self._animator.portrait(first_frame(pair.source), crop="none")
        opened = partial(open_frames, pair.driving.path, max_frames=self._request.max_frames)
        driving = self._driving(pair.driving.path, opened, on_frame)
        rows = chosen_rows(pair.driving, len(driving.motion), self._request.every, protocol)
        transfer = Transfer(**{**TRANSFERS.get(protocol, {}), **settings.transfer})
        picture, size = settings.picture or "network", settings.size or self.size
        if picture == "face":
            source = face_picture(portrait.photo, portrait.shown_boxes[0], size)
        else:
            source = resized(portrait.faces[0].picture, size, size)

        def frames() -> Generator[tuple[Picture, Picture], None, None]:
            made = self._animator.render(
                portrait, driving.motion, transfer, rows=rows, picture=picture, size=size
            )
            with closing(made), closing(pictures_of(driving, opened, rows, size)) as real:
                yield from zip(real, made, strict=True)

        return MovedPair(
            source=source,
            count=len(rows),
            frames=frames,
            no_face=driving.no_face,
            damaged=driving.damaged,
        )

    def _driving(self, path: Path, opened: OpenFrames, on_frame: OnFrame) -> Driving:
        read = partial(
            self._animator.read_driving,
            opened,
            crop="auto" if self._crops else "none",
            whole_landmarks=False,
            on_progress=lambda _progress: on_frame(0),
        )
        return self._drivings.get(path, read)


class PairMovers:
    """A `PairMover` for each row of a report; a network stays loaded while the next row needs the same."""

    def __init__(self, request: EvaluationRequest, compute: Compute) -> None:
        self._request, self._compute = request, compute
        self._weights: Weights | None = None
        self._mover: tuple[object, PairMover] | None = None

    def of(self, protocol: str, path: Path, settings: Settings) -> PairMover:
        """For a weights file, and settings, of which framing, keypoints and paint matter here."""
        if self._weights is None or self._weights.path != path:
            self._weights = self._mover = None  # two networks at once would need twice the memory
            self._weights = read_weights(path)
        tracks = self._weights.landmarks is not None or protocol != RECONSTRUCTION
        detector = self._request.detector if tracks and settings.keypoints != "network" else None
        paints = settings.paint is not False
        key = settings.framing, detector, paints
        if self._mover is None or self._mover[0] != key:
            framed = _with_framing(self._weights, settings.framing)
            animator = Animator(
                framed,
                self._compute,
                detector=detector,
                batch_size=self._request.batch_size,
                paints=paints,
            )
            self._mover = key, PairMover(self._request, animator)
        return self._mover[1]


def _with_framing(weights: Weights, changes: dict[str, float]) -> Weights:
    """The weights, asking for faces to be cropped otherwise."""
    if not changes:
        return weights
    if weights.framing is None or "face_height" not in weights.framing:
        names, path = ", ".join(changes), shown(weights.path)
        raise UsageError(f"{names}: {path} doesn't crop by the height of a face")
    return replace(weights, framing=weights.framing | changes)


def unmoved(pair: Pair, request: EvaluationRequest, size: int) -> MovedPair:
    """The baseline of a reconstruction: every made frame is the source, (size, size, 3)."""
    source = resized(first_frame(pair.source), size, size)
    opened = partial(open_frames, pair.driving.path, max_frames=request.max_frames)
    with opened() as frames:
        rows = chosen_rows(pair.driving, sum(1 for _ in frames), request.every, RECONSTRUCTION)

    def shown_beside() -> Generator[tuple[Picture, Picture], None, None]:
        wanted = set(rows.tolist())
        with opened() as frames:
            for number, frame in enumerate(frames):
                if number in wanted:
                    yield resized(frame, size, size), source

    return MovedPair(source, len(rows), shown_beside)


def first_frame(clip: ClipPath) -> Picture:
    """A clip's first frame; InputError if there is none, or it isn't square."""
    with open_frames(clip.path, max_frames=1) as frames:
        if frames.width != frames.height:
            raise InputError(f"{shown(clip.path)} is {frames.width}x{frames.height}, not square")
        for frame in frames:
            return frame
    raise InputError(f"{shown(clip.path)}: there are no frames in it")


def chosen_rows(driving: ClipPath, count: int, every: int, protocol: str) -> NDArray[np.intp]:
    """Which of a driving's frames are made; not the first one of a reconstruction, which is the source."""
    rows = _rows(count, every, protocol)
    if not len(rows):
        raise InputError(f"{shown(driving.path)} has {counted(count, 'frame')}, too few with --every {every}")
    return rows


def _rows(count: int, every: int, protocol: str) -> NDArray[np.intp]:
    return np.arange(0, count, every)[protocol == RECONSTRUCTION :]


def expected_frames(request: EvaluationRequest, pairs: dict[str, list[Pair]]) -> dict[tuple[str, Pair], int]:
    """How many frames of each protocol's pairs will be made, by the drivings' headers; 0 if unknown."""
    counts: dict[Path, int] = {}
    for path in dict.fromkeys(pair.driving.path for each in pairs.values() for pair in each):
        try:
            with open_frames(path, max_frames=request.max_frames) as frames:
                counts[path] = frames.frame_count_hint or 0
        except InputError:  # its pairs will fail, and say why
            counts[path] = 0
    return {
        (protocol, pair): len(_rows(counts[pair.driving.path], request.every, protocol))
        for protocol, each in pairs.items()
        for pair in each
    }


def training_run(log: Path) -> tuple[int | None, float | None]:
    """Steps, and the median of samples a second, from a training run's log; None where it doesn't say."""
    try:
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        speeds = [float(row["samples_per_s"]) for row in rows if "samples_per_s" in row]
        return int(rows[-1]["step"]), statistics.median(speeds) if speeds else None
    except (OSError, ValueError, LookupError, TypeError):  # none, or another program's
        return None, None
