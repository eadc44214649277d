"""Making clips anew by the steps of `mcnet animate`: frames out, one after the other."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation import Animator, Portrait, Transfer
from mcnet_cli.animation.driving import Driving, pictures_of
from mcnet_cli.animation.pictures import Picture
from mcnet_cli.errors import InputError, shown
from mcnet_cli.evaluation.pairs import Pair
from mcnet_cli.evaluation.request import RECONSTRUCTION, EvaluationRequest
from mcnet_cli.media import FrameSource, open_frames
from mcnet_cli.media.clips import ClipPath


class Mover:
    """Moves the first frames of clips by whole clips, nothing cropped.

    Reconstruction takes keypoints as they are, each frame by itself; reenactment carries relative motion
    over, as `mcnet animate` does by default, with the smoothing that the weights ask for.
    """

    def __init__(self, request: EvaluationRequest, animator: Animator) -> None:
        self._request, self._animator = request, animator
        self._is_reconstruction = request.protocol == RECONSTRUCTION

    def move(self, pair: Pair, on_batch: Callable[[], None]) -> "Moved":
        """Reads both clips; InputError if one of them can't be used."""
        photo = first_frame(pair.source)
        if pair.driving != pair.source:
            first_frame(pair.driving)
        portrait = self._animator.portrait(photo, crop="none")
        opened = partial(open_frames, pair.driving.path, max_frames=self._request.max_frames)
        driving = self._animator.read_driving(
            opened, crop="none", whole_landmarks=False, on_progress=lambda _progress: on_batch()
        )
        rows = np.arange(len(driving.motion))[:: self._request.every]
        if self._is_reconstruction:
            rows = rows[1:]  # the first frame is the source itself
        if not len(rows):
            count, every = len(driving.motion), self._request.every
            raise InputError(f"{shown(pair.driving.path)} has {count} frames, too few with --every {every}")
        transfer = Transfer(motion="absolute", smooth=0) if self._is_reconstruction else Transfer()
        return Moved(self._animator, transfer, portrait, driving, opened, rows)


@dataclass(frozen=True, slots=True)
class Moved:
    """A pair whose motion is known; the frames are made when they are iterated over."""

    animator: Animator
    transfer: Transfer
    portrait: Portrait
    driving: Driving
    opened: Callable[[], FrameSource]
    rows: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def source(self) -> Picture:
        """(S, S, 3), as the network saw it."""
        return self.portrait.faces[0].picture

    def __iter__(self) -> Iterator[tuple[list[Picture], list[Picture]]]:
        """The driving's frames and those made for them, (S, S, 3) each."""
        size = self.animator.size
        made = self.animator.render(self.portrait, self.driving.motion, self.transfer, rows=self.rows)
        with closing(pictures_of(self.driving, self.opened, self.rows, size)) as real, closing(made):
            for truth, result in zip(real, made, strict=True):
                yield [truth], [result]


def first_frame(clip: ClipPath) -> Picture:
    """A clip's first frame; InputError if there is none, or it isn't square."""
    with open_frames(clip.path, max_frames=1) as frames:
        if frames.width != frames.height:
            raise InputError(f"{shown(clip.path)} is {frames.width}x{frames.height}, not square")
        for frame in frames:
            return frame
    raise InputError(f"{shown(clip.path)}: there are no frames in it")
