"""The frames of a clip: in memory, in a file on disk, or decoded when they are wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from mcnet_cli.arrays import resized
from mcnet_cli.errors import InputError, shown
from mcnet_cli.files import atomic_output
from mcnet_cli.media import open_frames
from mcnet_cli.media.clips import ClipPath

Array = np.ndarray  # shapes and dtypes are in the docstrings


class Frames(Protocol):
    """Frames by their number, (S, S, 3) uint8 each; an array (T, S, S, 3) is one."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, number: int, /) -> Array:
        """One of them; InputError if it can't be decoded."""


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """What a clip's header says. count: of frames, None where it doesn't say."""

    side: int
    rate: Fraction
    count: int | None


def clip_info(clip: ClipPath) -> ClipInfo:
    """Opens a clip; InputError if it can't be used or isn't square."""
    with open_frames(clip.path) as source:
        if source.width != source.height:
            raise InputError(
                f"it is {source.width}x{source.height}, not square",
                hint="cut faces out with mcnet preprocess",
            )
        return ClipInfo(source.height, source.frame_rate, source.frame_count_hint)


def read_all(clip: ClipPath, size: int) -> list[Array]:
    """All frames of a clip at (size, size, 3), as far as they decode; InputError if none does."""
    with open_frames(clip.path) as source:
        return [resized(frame, size, size) for frame in source]


@dataclass(frozen=True, slots=True)
class SoughtFrames:
    """Frames `numbers` of a clip, each decoded when it is asked for."""

    clip: ClipPath
    rate: Fraction
    numbers: Sequence[int]
    size: int

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int) -> Array:
        at_s = float(self.numbers[number] / self.rate)
        with open_frames(self.clip.path, start_s=at_s, max_frames=1) as source:
            for frame in source:
                return resized(frame, self.size, self.size)
        raise InputError(f"{shown(self.clip.path)} has no frame {self.numbers[number]}")


def array_on_disk(path: Path, make: Callable[[], Array]) -> Array:
    """An array that is mapped from `path`, made and written there first if need be."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(path, overwrite=True) as part, open(part, "wb") as file:
            np.save(file, make())
    mapped: Array = np.load(path, mmap_mode="r")
    return mapped
